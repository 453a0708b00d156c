/* SPDX-License-Identifier: MIT
 *
 * The task guest's serial port, and its end.
 */
#include "guest/task/task.h"

#define UART       0x3f8
#define DEBUG_EXIT 0xf4

static void out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static uint8_t in8(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

void print(const char *text)
{
    for (; *text; text++) {
        while (!(in8(UART + 5) & 0x20)) {
        }
        out8(UART, (uint8_t)*text);
    }
}

void print_field(const char *name, uint32_t value)
{
    char digits[9] = {0};
    unsigned at = 8;
    do {
        digits[--at] = "0123456789abcdef"[value & 15];
        value >>= 4;
    } while (value);
    print(" ");
    print(name);
    print("=");
    print(digits + at);
}

void finish(void)
{
    out8(DEBUG_EXIT, 0);
    for (;;)
        __asm__ volatile("cli; hlt");
}
