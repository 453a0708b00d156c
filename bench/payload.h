/* SPDX-License-Identifier: MIT
 *
 * The guests that the benchmarks run, inside the program: nothing has to be found on disk.
 */
#ifndef BENCH_PAYLOAD_H
#define BENCH_PAYLOAD_H

#include <stdint.h>

extern const uint8_t payload_mmio[], payload_mmio_end[];     /* guest/flat/long64-mmio.S */
extern const uint8_t payload_exit[], payload_exit_end[];     /* guest/flat/real16-exit.S */
extern const uint8_t payload_kernel[], payload_kernel_end[]; /* the tiny kernel, guest.img */

#endif
