/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fiber_switch.h"

#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)

/* System V ABI: rbx, rbp, r12-r15 and the control words of SSE and x87 belong to the caller. */
__asm__(".text\n"
	".globl fiber_ctx_switch\n"
	".hidden fiber_ctx_switch\n"
	".type fiber_ctx_switch,@function\n"
	"fiber_ctx_switch:\n"
	"	pushq %rbp\n"
	"	pushq %rbx\n"
	"	pushq %r12\n"
	"	pushq %r13\n"
	"	pushq %r14\n"
	"	pushq %r15\n"
	"	subq $8, %rsp\n"
	"	stmxcsr (%rsp)\n"
	"	fnstcw 4(%rsp)\n"
	"	movq %rsp, (%rdi)\n"
	"	movq (%rsi), %rsp\n"
	"	ldmxcsr (%rsp)\n"
	"	fldcw 4(%rsp)\n"
	"	addq $8, %rsp\n"
	"	popq %r15\n"
	"	popq %r14\n"
	"	popq %r13\n"
	"	popq %r12\n"
	"	popq %rbx\n"
	"	popq %rbp\n"
	"	ret\n"
	".size fiber_ctx_switch,.-fiber_ctx_switch\n");

void fiber_ctx_init(struct fiber_ctx *ctx, void *low, size_t size, void (*entry)(void))
{
	const uint32_t mxcsr = 0x1f80; /* the ABI's initial values */
	const uint16_t x87_cw = 0x037f;
	uint64_t *sp = (uint64_t *)(((uintptr_t)low + size) & ~(uintptr_t)15);

	*--sp = 0; /* where entry() would return to: the end of every backtrace */
	*--sp = (uint64_t)(uintptr_t)entry;
	for (int reg = 0; reg < 6; reg++)
		*--sp = 0;
	*--sp = 0;
	memcpy(sp, &mxcsr, sizeof(mxcsr));
	memcpy((char *)sp + 4, &x87_cw, sizeof(x87_cw));
	ctx->sp = sp;
}

#elif defined(__aarch64__)

/* AAPCS64: x19-x28, the frame pointer, the link register and the low halves of v8-v15. */
__asm__(".text\n"
	".globl fiber_ctx_switch\n"
	".hidden fiber_ctx_switch\n"
	".type fiber_ctx_switch,%function\n"
	"fiber_ctx_switch:\n"
	"	sub sp, sp, #160\n"
	"	stp x19, x20, [sp, #0]\n"
	"	stp x21, x22, [sp, #16]\n"
	"	stp x23, x24, [sp, #32]\n"
	"	stp x25, x26, [sp, #48]\n"
	"	stp x27, x28, [sp, #64]\n"
	"	stp x29, x30, [sp, #80]\n"
	"	stp d8, d9, [sp, #96]\n"
	"	stp d10, d11, [sp, #112]\n"
	"	stp d12, d13, [sp, #128]\n"
	"	stp d14, d15, [sp, #144]\n"
	"	mov x2, sp\n"
	"	str x2, [x0]\n"
	"	ldr x2, [x1]\n"
	"	mov sp, x2\n"
	"	ldp x19, x20, [sp, #0]\n"
	"	ldp x21, x22, [sp, #16]\n"
	"	ldp x23, x24, [sp, #32]\n"
	"	ldp x25, x26, [sp, #48]\n"
	"	ldp x27, x28, [sp, #64]\n"
	"	ldp x29, x30, [sp, #80]\n"
	"	ldp d8, d9, [sp, #96]\n"
	"	ldp d10, d11, [sp, #112]\n"
	"	ldp d12, d13, [sp, #128]\n"
	"	ldp d14, d15, [sp, #144]\n"
	"	add sp, sp, #160\n"
	"	ret\n"
	".size fiber_ctx_switch,.-fiber_ctx_switch\n");

void fiber_ctx_init(struct fiber_ctx *ctx, void *low, size_t size, void (*entry)(void))
{
	uint64_t *sp = (uint64_t *)(((uintptr_t)low + size) & ~(uintptr_t)15);

	sp -= 20;
	memset(sp, 0, 20 * sizeof(*sp));
	sp[11] = (uint64_t)(uintptr_t)entry; /* x30 */
	ctx->sp = sp;
}

#else

void fiber_ctx_init(struct fiber_ctx *ctx, void *low, size_t size, void (*entry)(void))
{
	(void)getcontext(&ctx->uc);
	ctx->uc.uc_stack.ss_sp = low;
	ctx->uc.uc_stack.ss_size = size;
	ctx->uc.uc_link = NULL;
	makecontext(&ctx->uc, entry, 0);
}

#endif
