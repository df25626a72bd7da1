/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_BASE_FIBER_SWITCH_H
#define AOIDE_BASE_FIBER_SWITCH_H

#include <stddef.h>

/*
 * The switch between two stacks, by hand where we know the machine: swapcontext() makes two system
 * calls each time for a signal mask that no fiber ever changes. Elsewhere ucontext does it.
 */
#if defined(__x86_64__) || defined(__aarch64__)

struct fiber_ctx {
	void *sp;
};

/* Saves the callee-saved registers on the running stack, its pointer in from, and goes on in to. */
void fiber_ctx_switch(struct fiber_ctx *from, const struct fiber_ctx *to);

#else
#include <ucontext.h>

struct fiber_ctx {
	ucontext_t uc;
};

static inline void fiber_ctx_switch(struct fiber_ctx *from, const struct fiber_ctx *to)
{
	(void)swapcontext(&from->uc, &to->uc);
}

#endif

/* Prepares ctx to call entry(), which never returns, on the stack [low, low + size). */
void fiber_ctx_init(struct fiber_ctx *ctx, void *low, size_t size, void (*entry)(void));

#endif
