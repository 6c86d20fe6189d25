/* SPDX-License-Identifier: MIT */
/*
 * The words of --help. Nothing else documents the tool as closely: what these texts say
 * is what the tests hold it to.
 */
#ifndef TOOLS_HELP_H
#define TOOLS_HELP_H

extern const char tool_help_usage[];
extern const char tool_help_general[];
extern const char tool_help_status[];
extern const char tool_help_words[];

extern const char tool_help_set[];
extern const char tool_help_get[];
extern const char tool_help_list[];
extern const char tool_help_delete[];
extern const char tool_help_exists[];
extern const char tool_help_stat[];
extern const char tool_help_load[];
extern const char tool_help_merge[];
extern const char tool_help_shell[];

/* help_doctor.c */
extern const char tool_help_verify[];
extern const char tool_help_hint[];
extern const char tool_help_repair[];

/* help_inspect.c */
extern const char tool_help_dump[];
extern const char tool_help_log[];
extern const char tool_help_undelete[];

#endif
