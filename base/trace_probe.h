/* SPDX-License-Identifier: MIT
 *
 * USDT probes, provider "vmm", at the trace points: a nop each and a note in the ELF file, by which perf,
 * bpftrace and SystemTap find them. Nothing where systemtap-sdt-dev was not there when this was built.
 */
#ifndef BASE_TRACE_PROBE_H
#define BASE_TRACE_PROBE_H

#ifdef VMM_HAVE_USDT
#include <sys/sdt.h>
#define TRACE_PROBE1(name, a)             DTRACE_PROBE1(vmm, name, a)
#define TRACE_PROBE2(name, a, b)          DTRACE_PROBE2(vmm, name, a, b)
#define TRACE_PROBE3(name, a, b, c)       DTRACE_PROBE3(vmm, name, a, b, c)
#define TRACE_PROBE4(name, a, b, c, d)    DTRACE_PROBE4(vmm, name, a, b, c, d)
#define TRACE_PROBE5(name, a, b, c, d, e) DTRACE_PROBE5(vmm, name, a, b, c, d, e)
#else
#define TRACE_PROBE1(name, a)             ((void)0)
#define TRACE_PROBE2(name, a, b)          ((void)0)
#define TRACE_PROBE3(name, a, b, c)       ((void)0)
#define TRACE_PROBE4(name, a, b, c, d)    ((void)0)
#define TRACE_PROBE5(name, a, b, c, d, e) ((void)0)
#endif

#endif
