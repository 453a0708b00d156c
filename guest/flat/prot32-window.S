/* SPDX-License-Identifier: MIT
 *
 * Looks at the size of the first virtio-mmio device, a console, and says it by emergency writes (virtio 1.2, 5.3.4)
 * whenever it has changed: rows and columns as 8 hexadecimal digits. Ends with value 0 when there is 1 row.
 */
#include "guest/flat/flat.inc"

#define CONFIG     0xdff00100 /* le16 columns, le16 rows */
#define EMERG_WR   0xdff00108

START32
    xor %ebx, %ebx
look:
    mov CONFIG, %eax
    cmp %eax, %ebx
    je look
    mov %eax, %ebx
    mov $8, %ecx
digit:
    rol $4, %eax
    mov %eax, %edx
    and $15, %edx
    movzbl digits(%edx), %edx
    mov %edx, EMERG_WR
    loop digit
    movl $'\n', EMERG_WR
    shr $16, %eax
    cmp $1, %eax
    jne look
    EXIT 0
digits:
    .ascii "0123456789abcdef"
