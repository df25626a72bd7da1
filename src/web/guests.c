/* SPDX-License-Identifier: Apache-2.0 */
#include "web/guests.h"

#include <libwebsockets.h>

#include "base/clock.h"
#include "base/log.h"

#define TELL_EVERY_MS 10000

struct guest {
	struct le le; /* in guests->waiting, unless it is served */
	struct guests *guests;
	struct lws *wsi;
};

static void join(struct guest *guest)
{
	list_append(&guest->guests->waiting, &guest->le, guest);
	guest->guests->n++;
}

static void part(struct guest *guest)
{
	if (!guest->le.list)
		return;
	list_unlink(&guest->le);
	guest->guests->n--;
}

static void guest_destructor(void *arg)
{
	part(arg);
}

static void tell(struct guests *guests)
{
	uint64_t now_ms = clk_mono_ms();

	guests->turned_out++;
	if (guests->told_ms && now_ms - guests->told_ms < TELL_EVERY_MS)
		return;
	guests->told_ms = now_ms;
	log_warn("web.connections", "too many connections that ask for nothing: the oldest are closed",
		 kv_int("waiting", (int64_t)guests->max), kv_int("closed", (int64_t)guests->turned_out));
}

void guests_come(struct guests *guests, struct lws *wsi)
{
	struct guest *guest = mem_zalloc(sizeof(*guest), guest_destructor);

	if (!guest)
		return; /* not counted, but its timeouts are those of all */
	guest->guests = guests;
	guest->wsi = wsi;
	lws_set_opaque_user_data(wsi, guest);
	join(guest);

	if (guests->n > guests->max) {
		struct guest *oldest = list_ledata(guests->waiting.head);

		tell(guests);
		part(oldest);
		lws_set_timeout(oldest->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC);
	}
}

void guests_serve(struct lws *wsi)
{
	struct guest *guest = lws_get_opaque_user_data(wsi);

	if (guest)
		part(guest);
}

void guests_wait(struct lws *wsi)
{
	struct guest *guest = lws_get_opaque_user_data(wsi);

	if (!guest)
		return;
	part(guest);
	join(guest);
}

void guests_leave(struct lws *wsi)
{
	struct guest *guest = lws_get_opaque_user_data(wsi);

	lws_set_opaque_user_data(wsi, NULL);
	mem_deref(guest);
}
