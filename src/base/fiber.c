/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fiber.h"
#include "base/fiber_switch.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/log_priv.h"
#include "base/re.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if defined(__SANITIZE_THREAD__)
#define WITH_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WITH_TSAN 1
#endif
#endif
#ifdef WITH_TSAN
#include <sanitizer/tsan_interface.h>
#endif

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define VALGRIND_STACK_REGISTER(low, high) 0
#define VALGRIND_STACK_DEREGISTER(id)      ((void)(id))
#endif

/* Frames of the address sanitizer are several times larger. */
#ifdef WITH_ASAN
#define STACK_BYTES (256u * 1024)
#else
#define STACK_BYTES (64u * 1024)
#endif

/* Each stack and its guard are two mappings, and Linux allows 65,530 of them (vm.max_map_count). */
#define MAX_FIBERS  20000u
#define MAX_POOLED  4096u /* idle stacks kept; more go back to the system */
#define MAX_NAMES   64u   /* whose stacks are watched */

/* Fibers run in one go before timers and sockets get a turn. */
#define RUN_MAX 1000u

/*
 * How deep a stack went is seen by painting it before and looking afterwards where the paint ends.
 * That touches all 64 KiB, so only the first fibers of a name are painted and then one in 1,024.
 */
#define PAINT_BYTE  0xa5
#define PAINT_FIRST 8u
#define PAINT_EVERY 1024u

struct stack {
	struct stack *next; /* in the pool */
	char *map;          /* guard page, then the stack */
	char *low;
	unsigned valgrind_id;
};

struct name_stats {
	const char *name;
	uint64_t n_fibers;
	size_t deepest_bytes;
};

enum fiber_state { FIBER_READY, FIBER_RUNNING, FIBER_WAITING, FIBER_ENDED };

struct fiber {
	struct fiber *next_ready;
	struct fiber_ctx ctx;
	struct stack *stack;
	struct name_stats *stats; /* NULL: more names than MAX_NAMES */
	enum fiber_state state;
	bool is_queued, is_woken, is_timed_out, is_shielded, is_painted;
	int cancel_err;
	struct tmr tmr; /* the deadline */
	fiber_main_h *main_h;
	void *main_arg;
	struct log_context log;
	void *asan_fake;
	void *tsan;
};

struct sched {
	struct fiber_ctx ctx; /* of the loop, while a fiber runs */
	struct fiber *running;
	struct fiber *ready_head, *ready_tail;
	struct tmr tmr;
	struct stack *pool;
	size_t page;
	struct fiber_stats stats;
	struct name_stats names[MAX_NAMES];
	size_t n_names;
	const void *asan_low; /* the loop's own stack */
	size_t asan_size;
	void *asan_fake;
	void *tsan;
};

static __thread struct sched *sched;

/* ------------------------------------------------------------------ stacks */

static struct stack *stack_get(void)
{
	struct stack *stack = sched->pool;

	if (stack) {
		sched->pool = stack->next;
		sched->stats.pooled--;
		return stack;
	}

	stack = calloc(1, sizeof(*stack));
	if (!stack)
		return NULL;

	stack->map = mmap(NULL, sched->page + STACK_BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
	if (stack->map == MAP_FAILED)
		goto fail;
	if (mprotect(stack->map, sched->page, PROT_NONE)) {
		(void)munmap(stack->map, sched->page + STACK_BYTES);
		goto fail;
	}
	stack->low = stack->map + sched->page;
	stack->valgrind_id = VALGRIND_STACK_REGISTER(stack->low, stack->low + STACK_BYTES);

	return stack;

fail:
	free(stack);
	return NULL;
}

static void stack_free(struct stack *stack)
{
	VALGRIND_STACK_DEREGISTER(stack->valgrind_id);
	(void)munmap(stack->map, sched->page + STACK_BYTES);
	free(stack);
}

static void stack_put(struct stack *stack)
{
	if (sched->stats.pooled >= MAX_POOLED) {
		stack_free(stack);
		return;
	}
	stack->next = sched->pool;
	sched->pool = stack;
	sched->stats.pooled++;
}

/* ------------------------------------------------------------------ statistics */

static struct name_stats *name_find(const char *name)
{
	for (size_t i = 0; i < sched->n_names; i++) {
		if (sched->names[i].name == name || !strcmp(sched->names[i].name, name))
			return &sched->names[i];
	}
	if (sched->n_names == MAX_NAMES)
		return NULL;

	sched->names[sched->n_names].name = name;
	return &sched->names[sched->n_names++];
}

static bool is_sampled(const struct name_stats *stats)
{
	return stats && (stats->n_fibers <= PAINT_FIRST || stats->n_fibers % PAINT_EVERY == 0);
}

static void measure(struct fiber *fiber)
{
	const unsigned char *low = (const unsigned char *)fiber->stack->low;
	size_t clean = 0, deep;

	while (clean < STACK_BYTES && low[clean] == PAINT_BYTE)
		clean++;
	deep = STACK_BYTES - clean;

	if (deep > fiber->stats->deepest_bytes)
		fiber->stats->deepest_bytes = deep;
	if (deep > sched->stats.deepest_bytes) {
		sched->stats.deepest_bytes = deep;
		sched->stats.deepest_name = fiber->stats->name;
	}
	/* The paint made all of it resident. */
	(void)madvise(fiber->stack->low, STACK_BYTES, MADV_DONTNEED);
}

/* ------------------------------------------------------------------ switching */

static void enter_fiber(struct fiber *fiber)
{
	struct log_context *log = log_context_swap(&fiber->log);

	sched->running = fiber;
	fiber->state = FIBER_RUNNING;
#ifdef WITH_TSAN
	__tsan_switch_to_fiber(fiber->tsan, 0);
#endif
#ifdef WITH_ASAN
	__sanitizer_start_switch_fiber(&sched->asan_fake, fiber->stack->low, STACK_BYTES);
#endif
	fiber_ctx_switch(&sched->ctx, &fiber->ctx);
#ifdef WITH_ASAN
	__sanitizer_finish_switch_fiber(sched->asan_fake, NULL, NULL);
#endif
	sched->running = NULL;
	(void)log_context_swap(log);
}

static void leave_fiber(struct fiber *fiber)
{
#ifdef WITH_TSAN
	__tsan_switch_to_fiber(sched->tsan, 0);
#endif
#ifdef WITH_ASAN
	/* An ended fiber gives its fake stack back. */
	__sanitizer_start_switch_fiber(fiber->state == FIBER_ENDED ? NULL : &fiber->asan_fake,
				       sched->asan_low, sched->asan_size);
#endif
	fiber_ctx_switch(&fiber->ctx, &sched->ctx);
#ifdef WITH_ASAN
	__sanitizer_finish_switch_fiber(fiber->asan_fake, NULL, NULL);
#endif
}

/* The first function on a new stack. */
static void fiber_entry(void)
{
	struct fiber *fiber = sched->running;

#ifdef WITH_ASAN
	__sanitizer_finish_switch_fiber(NULL, &sched->asan_low, &sched->asan_size);
#endif
	fiber->main_h(fiber->main_arg);
	fiber->state = FIBER_ENDED;
	leave_fiber(fiber);
	abort(); /* nobody switches to an ended fiber */
}

static void fiber_free(struct fiber *fiber)
{
	tmr_cancel(&fiber->tmr);
#ifdef WITH_TSAN
	__tsan_destroy_fiber(fiber->tsan);
#endif
	stack_put(fiber->stack);
	free(fiber);
	sched->stats.live--;
}

static void run_ready(void *arg);

static void make_ready(struct fiber *fiber)
{
	if (fiber->is_queued)
		return;

	fiber->is_queued = true;
	fiber->next_ready = NULL;
	if (sched->ready_tail)
		sched->ready_tail->next_ready = fiber;
	else
		sched->ready_head = fiber;
	sched->ready_tail = fiber;

	if (!tmr_isrunning(&sched->tmr))
		tmr_start(&sched->tmr, 0, run_ready, NULL);
}

static void run_ready(void *arg)
{
	(void)arg;

	for (unsigned n = 0; n < RUN_MAX && sched->ready_head; n++) {
		struct fiber *fiber = sched->ready_head;

		sched->ready_head = fiber->next_ready;
		if (!sched->ready_head)
			sched->ready_tail = NULL;
		fiber->is_queued = false;

		enter_fiber(fiber);
		if (fiber->state == FIBER_ENDED) {
#ifdef WITH_ASAN
			/* Its last frames were left without returning. */
			__asan_unpoison_memory_region(fiber->stack->low, STACK_BYTES);
#endif
			if (fiber->is_painted)
				measure(fiber);
			fiber_free(fiber);
		}
	}

	if (sched->ready_head && !tmr_isrunning(&sched->tmr))
		tmr_start(&sched->tmr, 0, run_ready, NULL);
}

static void deadline_h(void *arg)
{
	struct fiber *fiber = arg;

	fiber->is_timed_out = true;
	make_ready(fiber);
}

/* ------------------------------------------------------------------ the interface */

int fiber_init(void)
{
	if (sched)
		return -EALREADY;

	sched = calloc(1, sizeof(*sched));
	if (!sched)
		return -ENOMEM;

	sched->page = (size_t)sysconf(_SC_PAGESIZE);
#ifdef WITH_TSAN
	sched->tsan = __tsan_get_current_fiber();
#endif
	return 0;
}

void fiber_close(void)
{
	struct stack *stack;

	if (!sched)
		return;

	if (sched->stats.live)
		log_error("fiber.left", "fibers are left at the end: their calls were not ended",
			  kv_int("fibers", sched->stats.live));
	tmr_cancel(&sched->tmr);
	while ((stack = sched->pool)) {
		sched->pool = stack->next;
		stack_free(stack);
	}
	free(sched);
	sched = NULL;
}

int fiber_spawn(struct fiber **ret, const char *name, fiber_main_h *main_h, void *arg)
{
	struct fiber *fiber;

	if (!sched || !name || !main_h)
		return -EINVAL;
	if (sched->stats.live >= MAX_FIBERS)
		return -EAGAIN;

	fiber = calloc(1, sizeof(*fiber));
	if (!fiber)
		return -ENOMEM;
	fiber->stack = stack_get();
	if (!fiber->stack) {
		free(fiber);
		return -ENOMEM;
	}

	fiber->main_h = main_h;
	fiber->main_arg = arg;
	fiber->stats = name_find(name);
	if (fiber->stats)
		fiber->stats->n_fibers++;
	if (is_sampled(fiber->stats)) {
		memset(fiber->stack->low, PAINT_BYTE, STACK_BYTES);
		fiber->is_painted = true;
	}
	fiber_ctx_init(&fiber->ctx, fiber->stack->low, STACK_BYTES, fiber_entry);
#ifdef WITH_TSAN
	fiber->tsan = __tsan_create_fiber(0);
#endif

	if (++sched->stats.live > sched->stats.peak)
		sched->stats.peak = sched->stats.live;
	make_ready(fiber);

	if (ret)
		*ret = fiber;
	return 0;
}

struct fiber *fiber_self(void)
{
	return sched ? sched->running : NULL;
}

static int sticky_err(const struct fiber *fiber)
{
	return fiber->is_shielded ? 0 : fiber->cancel_err;
}

int fiber_wait(uint64_t deadline_ms)
{
	struct fiber *fiber = fiber_self();
	uint64_t now;

	assert(fiber); /* only a fiber can wait */

	if (sticky_err(fiber))
		return sticky_err(fiber);
	if (fiber->is_woken) {
		fiber->is_woken = false;
		return 0;
	}

	if (deadline_ms != FIBER_FOREVER) {
		now = clk_mono_ms();
		if (deadline_ms <= now)
			return -ETIMEDOUT;
		tmr_start(&fiber->tmr, deadline_ms - now, deadline_h, fiber);
	}

	fiber->is_timed_out = false;
	fiber->state = FIBER_WAITING;
	leave_fiber(fiber);
	tmr_cancel(&fiber->tmr);

	if (sticky_err(fiber))
		return sticky_err(fiber);
	if (fiber->is_woken) {
		fiber->is_woken = false;
		return 0;
	}

	return fiber->is_timed_out ? -ETIMEDOUT : 0;
}

void fiber_wake(struct fiber *fiber)
{
	if (!fiber)
		return;

	fiber->is_woken = true;
	if (fiber->state == FIBER_WAITING)
		make_ready(fiber);
}

void fiber_cancel(struct fiber *fiber, int err)
{
	if (!fiber || err >= 0)
		return;

	if (!fiber->cancel_err)
		fiber->cancel_err = err;
	if (fiber->state == FIBER_WAITING && !fiber->is_shielded)
		make_ready(fiber);
}

int fiber_cancelled(const struct fiber *fiber)
{
	return fiber ? fiber->cancel_err : 0;
}

void fiber_shield(struct fiber *fiber, bool on)
{
	if (fiber)
		fiber->is_shielded = on;
}

void fiber_stats(struct fiber_stats *ret)
{
	if (sched)
		*ret = sched->stats;
	else
		memset(ret, 0, sizeof(*ret));
}

void fiber_stacks(fiber_stack_h *h, void *arg)
{
	for (size_t i = 0; sched && i < sched->n_names; i++)
		h(sched->names[i].name, sched->names[i].n_fibers, sched->names[i].deepest_bytes, arg);
}
