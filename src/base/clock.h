/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_BASE_CLOCK_H
#define AOIDE_BASE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The one source of time. Tests drive it. Any thread. */
uint64_t clk_mono_ms(void);
uint64_t clk_mono_us(void);
int64_t clk_wall_us(void); /* microseconds since 1970-01-01 UTC */
int64_t clk_wall_s(void);

/* Driven clock, for tests only: from now on time stands still and moves by clk_advance_ms(). */
void clk_drive(int64_t wall_us);
void clk_advance_ms(uint64_t ms);
void clk_release(void);

/* "2016-04-29T15:48:26Z" of a wall time; buf holds at least 21 bytes. */
const char *clk_iso(char *buf, size_t size, int64_t wall_us);

#endif
