/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why this file exists: libre 1.1.0 keeps the timers of a thread in one list sorted by time, so
 * tmr_start() walks past every later timer. A SIP server runs several timers per transaction, most
 * of them 32 s long, and spends 90 % of its CPU in that walk from some hundred calls a second on
 * (0.4 ms per call at 1,000 calls/s, against 0.05 ms with this heap).
 *
 * The functions below have libre's names and are exported from the executable (-rdynamic), where
 * the dynamic linker finds them before those of the library, so libre itself uses them.
 * timer_selfcheck() proves that.
 *
 * How the heap fits into libre's structs without changing their layout: `struct list tmrl` of the
 * thread (tmrl_get()) holds one element, the heap; the `struct le` inside each `struct tmr`, which
 * libre uses as list node, holds where the timer is: le.list says in which heap (NULL: none), le.next
 * is its index. Nothing else in libre 1.1.0 looks at either. The heap is made with the first timer of a
 * thread and freed with the last, since libre has no hook for the end of a thread's loop.
 *
 * libre 2.x has another `struct tmr` and `struct tmrl`: there this file needs a second variant.
 */

/* Exported although everything else is hidden. */
#pragma GCC visibility push(default)
#include "base/re.h"
#pragma GCC visibility pop

#include "base/timer.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define HEAP_ARITY      4u
#define HEAP_FIRST_SIZE 64u

/* Handlers that one poll runs at most, so that timers which restart themselves cannot keep sockets
 * from being read. */
#define POLL_MAX_HANDLERS 10000u

/* Longest wait given to libre, which casts it to int. */
#define MAX_TIMEOUT_MS 3600000u

/* Timers of SLACK_FROM_MS and more expire together, at the next multiple of SLACK_MS: each call leaves
 * several behind that wait 5 or 32 s for repetitions of its messages (RFC 3261 section 17), and each
 * that expired by itself would wake a sleeping thread. */
#define SLACK_FROM_MS 4500u
#define SLACK_MS      50u

/* So many turns of the loop within so many milliseconds, rests not counted, and it is busy
 * (timer_set_rest()). */
#define BUSY_TURNS   8
#define BUSY_SPAN_MS 40u

/* A handler that takes longer delays every call of the thread. */
#define SLOW_HANDLER_MS 100u

/* Time and order of arrival stand beside the pointer: comparing does not touch the timers. */
struct slot {
	uint64_t jfs;
	uint64_t seq; /* timers of the same millisecond run in the order of their start, as in libre */
	struct tmr *tmr;
};

struct heap {
	struct le le; /* the one element of the thread's timer list */
	struct slot *slots;
	size_t n, size;
	uint64_t next_seq;
};

/* Not declared in libre's headers: "only used by tmr module". */
extern struct list *tmrl_get(void);

static _Thread_local timer_turn_h *turn_h;
static _Thread_local int alarm_fd = -1; /* of timer_wait_by_fd() */
static _Thread_local uint64_t alarm_at_ms; /* when it rings; 0: it does not, or has rung */
static _Thread_local struct {
	uint64_t rest_us;	       /* of timer_set_rest(); 0: none */
	uint64_t rested_us;	       /* so far */
	uint64_t turns_ms[BUSY_TURNS]; /* when the last ones ended, without the rests; a ring */
	unsigned next;
	unsigned load; /* of this turn, of timer_load() */
} pace;
static _Atomic uint64_t n_started; /* for timer_selfcheck() */

static struct heap *heap_of(const struct list *tmrl)
{
	return tmrl && tmrl->head ? tmrl->head->data : NULL;
}

/* A timer that silently does not run would leave calls and transactions for ever: memory for 24
 * bytes each is as essential as the stack. */
static void *must(void *p)
{
	if (!p) {
		log_error("timer.memory", "no memory for timers: the process ends");
		log_stop();
		abort();
	}
	return p;
}

static struct heap *heap_get(struct list *tmrl)
{
	struct heap *heap = heap_of(tmrl);

	if (heap)
		return heap;

	heap = must(calloc(1, sizeof(*heap)));
	heap->slots = must(malloc(HEAP_FIRST_SIZE * sizeof(*heap->slots)));
	heap->size = HEAP_FIRST_SIZE;
	heap->le.data = heap;
	heap->le.list = tmrl;
	tmrl->head = tmrl->tail = &heap->le;

	return heap;
}

static void heap_free(struct list *tmrl, struct heap *heap)
{
	tmrl->head = tmrl->tail = NULL;
	free(heap->slots);
	free(heap);
}

static bool is_before(const struct slot *a, const struct slot *b)
{
	return a->jfs != b->jfs ? a->jfs < b->jfs : a->seq < b->seq;
}

static size_t index_of(const struct tmr *tmr)
{
	return (size_t)(uintptr_t)tmr->le.next;
}

static void place(struct heap *heap, size_t i, const struct slot *slot)
{
	heap->slots[i] = *slot;
	slot->tmr->le.next = (struct le *)(uintptr_t)i;
}

static void sift_up(struct heap *heap, size_t i, const struct slot *slot)
{
	while (i > 0) {
		const size_t parent = (i - 1) / HEAP_ARITY;

		if (!is_before(slot, &heap->slots[parent]))
			break;
		place(heap, i, &heap->slots[parent]);
		i = parent;
	}
	place(heap, i, slot);
}

static void sift_down(struct heap *heap, size_t i, const struct slot *slot)
{
	for (;;) {
		const size_t first = i * HEAP_ARITY + 1;
		size_t best = first;

		if (first >= heap->n)
			break;
		for (size_t c = first + 1; c < first + HEAP_ARITY && c < heap->n; c++) {
			if (is_before(&heap->slots[c], &heap->slots[best]))
				best = c;
		}
		if (!is_before(&heap->slots[best], slot))
			break;
		place(heap, i, &heap->slots[best]);
		i = best;
	}
	place(heap, i, slot);
}

static void heap_insert(struct list *tmrl, struct tmr *tmr)
{
	struct heap *heap = heap_get(tmrl);
	const struct slot slot = { .jfs = tmr->jfs, .seq = heap->next_seq++, .tmr = tmr };

	if (heap->n == heap->size) {
		heap->size *= 2;
		heap->slots = must(realloc(heap->slots, heap->size * sizeof(*heap->slots)));
	}

	tmr->le.list = tmrl;
	tmr->le.data = tmr;
	sift_up(heap, heap->n++, &slot);
}

/* Works on the heap that the timer is in, whichever thread's it is, as list_unlink() would. */
static void heap_remove(struct tmr *tmr)
{
	struct list *tmrl = tmr->le.list;
	struct heap *heap = heap_of(tmrl);
	const size_t i = index_of(tmr);
	struct slot last;

	memset(&tmr->le, 0, sizeof(tmr->le));

	last = heap->slots[--heap->n];
	if (i < heap->n) {
		if (i > 0 && is_before(&last, &heap->slots[(i - 1) / HEAP_ARITY]))
			sift_up(heap, i, &last);
		else
			sift_down(heap, i, &last);
	}

	if (!heap->n) {
		heap_free(tmrl, heap);
	} else if (heap->size > 4096 && heap->n < heap->size / 8) {
		/* After a peak the memory goes back; a failed shrink keeps the larger block. */
		struct slot *slots = realloc(heap->slots, heap->size / 2 * sizeof(*slots));

		if (slots) {
			heap->slots = slots;
			heap->size /= 2;
		}
	}
}

static void call_handler(tmr_h *th, void *arg)
{
	const uint64_t start = tmr_jiffies();
	uint64_t took;

	th(arg);

	took = tmr_jiffies() - start;
	if (took > SLOW_HANDLER_MS)
		log_warn("timer.slow", "a timer handler kept the loop waiting", kv_int("ms", took));
}

static void poll_timers(struct list *tmrl)
{
	uint64_t now = tmr_jiffies();

	for (unsigned n = 0; n < POLL_MAX_HANDLERS; n++) {
		struct heap *heap = heap_of(tmrl);
		struct tmr *tmr;
		tmr_h *th;
		void *arg;

		if (!heap)
			return;

		/* Time may have passed in the handlers: a timer of 0 ms that one of them started
		 * shall not wait for the next turn, which is 1 ms away at least. */
		if (heap->slots[0].jfs > now) {
			now = tmr_jiffies();
			if (heap->slots[0].jfs > now)
				return;
		}

		tmr = heap->slots[0].tmr;
		th = tmr->th;
		arg = tmr->arg;
		tmr->th = NULL;
		heap_remove(tmr);

		if (th)
			call_handler(th, arg);
	}
}

/* What comes meanwhile is there when the loop looks next, and is done in one turn. */
static void rest_when_busy(void)
{
	const uint64_t full = TIMER_FULL_LOAD * TIMER_FULL_LOAD;
	const uint64_t rest_us = pace.rest_us * (full - pace.load * pace.load) / full;
	const struct timespec rest = { .tv_nsec = (long)rest_us * 1000 };
	const uint64_t now_ms = tmr_jiffies() - pace.rested_us / 1000;
	const bool is_busy = now_ms - pace.turns_ms[pace.next] < BUSY_SPAN_MS;

	pace.turns_ms[pace.next] = now_ms;
	pace.next = (pace.next + 1) % BUSY_TURNS;
	pace.load = 0;
	if (is_busy && rest_us && !nanosleep(&rest, NULL)) /* a signal ends it early */
		pace.rested_us += rest_us;
}

/* libre calls it once per turn of the loop, after the sockets. */
void tmr_poll(struct list *tmrl)
{
	poll_timers(tmrl);
	if (turn_h)
		turn_h();
	if (pace.rest_us)
		rest_when_busy();
}

void timer_set_rest(unsigned rest_us)
{
	memset(&pace, 0, sizeof(pace));
	pace.rest_us = rest_us;
}

void timer_load(unsigned percent)
{
	pace.load = percent < TIMER_FULL_LOAD - pace.load ? pace.load + percent : TIMER_FULL_LOAD;
}

void timer_set_turn_handler(timer_turn_h *h)
{
	turn_h = h;
}

/* libre takes the wall clock here; ours is monotonic, so that setting the time of the machine ends
 * no call, and can be driven by tests. */
uint64_t tmr_jiffies(void)
{
	return clk_mono_ms();
}

/* Nothing to do: tmr_next_timeout() sets it anew, which takes back what there was to read. */
static void alarm_h(int flags, void *arg)
{
	(void)flags;
	(void)arg;
	alarm_at_ms = 0;
}

/* Rings when a timer is due; too early, when that timer was cancelled, is no harm and rare. */
static bool set_alarm(uint64_t now_ms, uint64_t due_ms)
{
	const uint64_t left_ms = due_ms - now_ms;
	const struct itimerspec in = { .it_value = { (time_t)(left_ms / 1000),
						     (long)(left_ms % 1000) * 1000000 } };

	if (alarm_at_ms && alarm_at_ms <= due_ms)
		return true;
	if (timerfd_settime(alarm_fd, 0, &in, NULL))
		return false;
	alarm_at_ms = due_ms;
	return true;
}

int timer_wait_by_fd(bool on)
{
	int err;

	if (on == (alarm_fd >= 0))
		return 0;
	if (!on) {
		fd_close(alarm_fd);
		close(alarm_fd);
		alarm_fd = -1;
		return 0;
	}

	alarm_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (alarm_fd < 0)
		return -errno;
	alarm_at_ms = 0;
	err = err_from_re(fd_listen(alarm_fd, FD_READ, alarm_h, NULL));
	if (err) {
		close(alarm_fd);
		alarm_fd = -1;
	}
	return err;
}

uint64_t tmr_next_timeout(struct list *tmrl)
{
	const struct heap *heap = heap_of(tmrl);
	uint64_t now, left;

	if (!heap && alarm_fd < 0)
		return 0;

	now = tmr_jiffies();
	if (heap && heap->slots[0].jfs <= now)
		return 1;
	/* Without any timer as well: what has rung must be taken back, or the loop would spin. */
	if (alarm_fd >= 0 && set_alarm(now, heap ? heap->slots[0].jfs : now + MAX_TIMEOUT_MS))
		return 0; /* libre waits for a descriptor, however long */
	if (!heap)
		return MAX_TIMEOUT_MS;

	left = heap->slots[0].jfs - now;
	return left < MAX_TIMEOUT_MS ? left : MAX_TIMEOUT_MS;
}

int tmr_status(struct re_printf *pf, void *unused)
{
	const struct heap *heap = heap_of(tmrl_get());
	int err;

	(void)unused;
	if (!heap)
		return 0;

	err = re_hprintf(pf, "Timers (%zu):\n", heap->n);
	for (size_t i = 0; i < heap->n && !err; i++) {
		const struct tmr *tmr = heap->slots[i].tmr;

		err = re_hprintf(pf, "  %p: th=%p expire=%llums\n", tmr, tmr->th,
				 (unsigned long long)tmr_get_expire(tmr));
	}

	return err;
}

void tmr_debug(void)
{
	if (heap_of(tmrl_get()))
		(void)re_fprintf(stderr, "%H", tmr_status, NULL);
}

void tmr_init(struct tmr *tmr)
{
	if (tmr)
		memset(tmr, 0, sizeof(*tmr));
}

void tmr_start(struct tmr *tmr, uint64_t delay, tmr_h *th, void *arg)
{
	if (!tmr)
		return;

	if (tmr->th && tmr->le.list)
		heap_remove(tmr);

	tmr->th = th;
	tmr->arg = arg;
	if (!th)
		return;

	atomic_fetch_add_explicit(&n_started, 1, memory_order_relaxed);
	tmr->jfs = delay + tmr_jiffies();
	if (delay >= SLACK_FROM_MS)
		tmr->jfs += (SLACK_MS - tmr->jfs % SLACK_MS) % SLACK_MS;
	heap_insert(tmrl_get(), tmr);
}

void tmr_cancel(struct tmr *tmr)
{
	tmr_start(tmr, 0, NULL, NULL);
}

uint64_t tmr_get_expire(const struct tmr *tmr)
{
	uint64_t now;

	if (!tmr || !tmr->th)
		return 0;

	now = tmr_jiffies();
	return tmr->jfs > now ? tmr->jfs - now : 0;
}

bool timer_selfcheck(void)
{
	const uint64_t before = atomic_load(&n_started);
	struct stun_keepalive *keepalive = NULL;
	bool ok;

	/* The smallest thing in libre that starts a timer by itself; it needs no socket and its
	 * first packet would be 1 ms away. */
	if (stun_keepalive_alloc(&keepalive, IPPROTO_TCP, NULL, 0, NULL, NULL, NULL, NULL)) {
		log_error("timer.selfcheck", "the self-check of the timers could not be made");
		return false;
	}
	stun_keepalive_enable(keepalive, 60);
	ok = atomic_load(&n_started) > before;
	mem_deref(keepalive);

	if (!ok)
		log_error("timer.selfcheck",
			  "libre uses its own timers: calls will be slow. Build with the Makefile "
			  "(-rdynamic) and with Debian's shared libre");
	return ok;
}
