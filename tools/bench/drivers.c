/* SPDX-License-Identifier: MIT */
#include "driver.h"

const struct bench_driver *const bench_drivers[] = {
    &bench_driver_bitcask,
    &bench_driver_bitcask_nomerge,
#ifdef BENCH_WITH_LMDB
    &bench_driver_lmdb,
#endif
#ifdef BENCH_WITH_TKRZW
    &bench_driver_tkrzw,
#endif
#ifdef BENCH_WITH_KYOTO
    &bench_driver_kyoto,
#endif
#ifdef BENCH_WITH_LEVELDB
    &bench_driver_leveldb,
#endif
#ifdef BENCH_WITH_ROCKSDB
    &bench_driver_rocksdb,
#endif
    NULL,
};
