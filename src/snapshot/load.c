/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/snap_priv.h"
#include "base/err.h"
#include "base/log.h"
#include "base/seal.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TENANT_ARENA_BYTES (64u * 1024)

/* What one load carries along; freed at its end. */
struct load {
	struct db *db;
	const struct snap_sip *sip;
	struct snap_tenant *tenant;
	struct arena *arena;	  /* the tenant's */
	const char *system_proxy; /* copied: the settings may go before the tenant does */
	struct template *account_templates, *extension_templates;
	size_t n_account_templates, n_extension_templates;
	struct link *links; /* accounts that belong to an extension */
	size_t n_links;
	EVP_MD_CTX *md_ctx;
	EVP_MD *md5, *sha256;
	uint32_t unreadable; /* accounts whose secret cannot be opened */
};

struct template
{
	int64_t id;
	union {
		struct snap_account_row account;
		struct snap_extension_row extension;
	} u;
};

struct link {
	int64_t extension_id;
	uint32_t account;
};

/* ------------------------------------------------------------------ settings of the node */

/* Codecs that the system does not enable are used by nobody (PLT-44). */
static void keep_codecs(struct snap_codecs *codecs, uint16_t mask)
{
	uint8_t n = 0;

	for (uint8_t i = 0; i < codecs->n; i++)
		if (mask >> codecs->list[i] & 1)
			codecs->list[n++] = codecs->list[i];
	codecs->n = n;
}

static const char *copy_dir(struct arena *arena, const char *dir)
{
	return dir ? arena_strdup(arena, dir) : NULL;
}

/* A preferred transport that was switched off gives way to the first that is on. */
static void prefer_what_is_on(struct snap_sip *sip)
{
	uint8_t on = 0;

	if (sip->preferred_transport < SNAP_TRANSPORTS &&
	    sip->transport_enabled[sip->preferred_transport])
		return;
	while (on < SNAP_TRANSPORTS && !sip->transport_enabled[on])
		on++;
	sip->preferred_transport = on < SNAP_TRANSPORTS ? on : (uint8_t)SNAP_UDP;
}

int snap_sip_load(struct snap_sip **ret, struct arena *arena, struct db *db,
		  const struct snap_dirs *dirs)
{
	/* What holds when the row is not there: D-082. */
	struct snap_sip_row row = {
		.sip = {
			.realm = "aoide",
			.user_agent = "Aoide",
			.drop_unknown = true,
			.min_expires_s = 60,
			.max_expires_s = 3600,
			.session_expires_s = 1800,
			.min_se_s = 90,
			.rtp_timeout_s = 60,
			.tos_sip = 24,
			.tos_audio = 46,
			.tos_video = 34,
			.options_interval_s = 25,
			.video_enabled = true,
			.srtp_support = true,
			.t38_passthrough = true,
			.t38_max_datagram = 1400,
			.t38_error_correction = SNAP_T38_REDUNDANCY,
			.video_max_kbps = 384,
			.send_rpid_mode = SNAP_RPID_PAI,
			.accept_rpid = true,
			.ws_port = 8088,
			.wss_port = 8089,
			.audio = { 4, { SNAP_PCMA, SNAP_PCMU, SNAP_G722, SNAP_OPUS } },
			.video = { 2, { SNAP_H264, SNAP_VP8 } },
		},
		.transports = 1 << SNAP_UDP | 1 << SNAP_TCP | 1 << SNAP_TLS | 1 << SNAP_WSS,
	};
	static const struct snap_codecs last_resort = { 2, { SNAP_PCMA, SNAP_PCMU } };
	struct snap_sip *sip = arena_zalloc(arena, sizeof(*sip));
	struct db_rows *rows = NULL;
	int n, err = 0;

	if (!sip)
		return -ENOMEM;

	for (uint8_t i = 0; i < SNAP_CODECS; i++)
		row.system.list[row.system.n++] = i;
	err = snap_query(&rows, db, "sip_settings", snap_sip_binds, snap_n_sip_binds, false, 0);
	if (err)
		return err;

	n = db_next(rows);
	if (n > 0)
		err = snap_bind_row(&row, rows, snap_sip_binds, snap_n_sip_binds, arena);
	db_rows_close(rows);
	if (n < 0 || err)
		return n < 0 ? n : err;

	*sip = row.sip;
	sip->invite_auth = (enum snap_invite_auth)row.invite_auth;
	for (int i = 0; i < SNAP_TRANSPORTS; i++)
		sip->transport_enabled[i] = row.transports >> i & 1;
	for (uint8_t i = 0; i < row.system.n; i++)
		sip->codecs_enabled |= (uint16_t)(1u << row.system.list[i]);
	prefer_what_is_on(sip);
	sip->local_nets = row.local.list;
	sip->n_local_nets = row.local.n;
	sip->outbound_proxy =
		snap_proxy_uri(arena, row.proxy_address, row.proxy_port, row.proxy_protocol, sip);

	keep_codecs(&sip->audio, sip->codecs_enabled);
	keep_codecs(&sip->video, sip->codecs_enabled);
	if (sip->audio.n == 0)
		sip->audio = last_resort;
	if (!sip->video_enabled)
		sip->video.n = 0;

	if (dirs) {
		sip->dirs.data_dir = copy_dir(arena, dirs->data_dir);
		sip->dirs.share_dir = copy_dir(arena, dirs->share_dir);
	}
	err = snap_sound_node(sip, arena, db);
	if (err)
		return err;
	*ret = sip;

	return 0;
}

/* ------------------------------------------------------------------ templates */

static int load_templates(struct template **ret, size_t *count, struct load *load,
			  const char *table, const struct snap_bind *binds, size_t n_binds)
{
	struct template *list = NULL, *bigger;
	struct db_rows *rows = NULL;
	int n, err;

	err = snap_query(&rows, load->db, table, binds, n_binds, true, load->tenant->id);
	if (err)
		return err;

	while (!err && (n = db_next(rows)) != 0) {
		if (n < 0) {
			err = n;
			break;
		}
		bigger = reallocarray(list, *count + 1, sizeof(*list));
		if (!bigger) {
			err = -ENOMEM;
			break;
		}
		list = bigger;
		memset(&list[*count], 0, sizeof(*list));
		list[*count].id = db_col_i64(rows, 0);
		err = snap_bind_row(&list[*count].u, rows, binds, n_binds, load->arena);
		(*count)++;
	}
	db_rows_close(rows);
	*ret = list; /* freed with the load, also after an error */

	return err;
}

static int by_id(const void *key, const void *item)
{
	int64_t id = *(const int64_t *)key, other = *(const int64_t *)item;

	return (id > other) - (id < other);
}

/* The row was read over zeros to know its template; now it is read over the template. */
static const struct template *find_template(const struct template *list, size_t n, int64_t id)
{
	return n ? bsearch(&id, list, n, sizeof(*list), by_id) : NULL;
}

static int64_t template_of(const struct db_rows *rows, const struct snap_bind *binds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(binds[i].name, "template"))
			return db_col_i64(rows, 1 + (int)i);

	return 0;
}

/* ------------------------------------------------------------------ accounts */

static bool digest(uint8_t *ret, struct load *load, const EVP_MD *md, const char *const parts[5])
{
	bool ok = EVP_DigestInit_ex(load->md_ctx, md, NULL) == 1;

	for (int i = 0; i < 5 && ok; i++)
		ok = EVP_DigestUpdate(load->md_ctx, parts[i], strlen(parts[i])) == 1;

	return ok && EVP_DigestFinal_ex(load->md_ctx, ret, NULL) == 1;
}

/* H(user:realm:password) for both algorithms (RFC 7616 section 3.4.2). */
static bool hash_password(struct load *load, struct snap_account *account, const char *sealed)
{
	char *clear = NULL;
	bool ok;

	if (!sealed || !sealed[0] || seal_open(&clear, "account.password", sealed))
		return false;

	const char *const parts[5] = { account->username, ":", load->sip->realm, ":", clear };

	ok = clear[0] && digest(account->ha1_md5, load, load->md5, parts) &&
	     digest(account->ha1_sha256, load, load->sha256, parts);
	explicit_bzero(clear, strlen(clear));
	free(clear);

	return ok;
}

/* An empty list takes the system's (D-081). */
static void resolve_codecs(struct snap_codecs *codecs, const struct snap_codecs *defaults,
			   uint16_t mask)
{
	keep_codecs(codecs, mask);
	if (codecs->n == 0)
		*codecs = *defaults;
}

static void finish_account(struct load *load, struct snap_account_row *row)
{
	struct snap_account *a = &row->account;
	const struct snap_sip *sip = load->sip;

	resolve_codecs(&a->audio, &sip->audio, sip->codecs_enabled);
	resolve_codecs(&a->video, &sip->video, sip->codecs_enabled);
	if (!sip->video_enabled)
		a->video.n = 0;
	if (!sip->srtp_support)
		a->srtp = SNAP_SRTP_OFF;
	if (a->max_contacts == 0)
		a->max_contacts = 1;

	/* BASE-50. WebSockets are not masked: ports given at the start open them whatever the settings say. */
	for (int tp = SNAP_UDP; tp <= SNAP_TLS; tp++)
		if (!sip->transport_enabled[tp])
			a->transports &= (uint8_t)~(1u << tp);
	a->webrtc = row->transport_webrtc;
	a->acl_source = row->acl_source.list;
	a->n_acl_source = row->acl_source.n;
	a->acl_contact = row->acl_contact.list;
	a->n_acl_contact = row->acl_contact.n;
	a->outbound_proxy = row->proxy_override
				    ? snap_proxy_uri(load->arena, row->proxy_address,
						     row->proxy_port, row->proxy_protocol, sip)
				    : load->system_proxy;
	a->tenant = load->tenant;

	/* Without its secret an account would have a digest of zeros that anybody can compute. */
	if (!hash_password(load, a, row->password)) {
		load->unreadable++;
		a->enabled = false;
	}
}

static int count_rows(size_t *ret, struct load *load, const char *sql)
{
	int64_t n = 0;
	int err = db_query_i64(&n, load->db, sql, DB_ARGS(db_i64(load->tenant->id)));

	*ret = (size_t)n;

	return err ? err : n < 0 || n > UINT32_MAX / 4 ? -E2BIG : 0;
}

static int load_accounts(struct load *load, bool usable)
{
	struct snap_tenant *tenant = load->tenant;
	struct snap_account *accounts;
	struct db_rows *rows = NULL;
	size_t total = 0, i = 0;
	int n = 0, err;

	err = count_rows(&total, load, "SELECT COUNT(*) FROM account_applied WHERE tenant_id = $1");
	if (err || total == 0)
		return err;

	accounts = arena_zalloc(load->arena, total * sizeof(*accounts));
	load->links = calloc(total, sizeof(*load->links));
	if (!accounts || !load->links)
		return -ENOMEM;

	err = snap_query(&rows, load->db, "account", snap_account_binds, snap_n_account_binds,
			 false, tenant->id);
	while (!err && i < total && (n = db_next(rows)) > 0) {
		/* A template that is not there leaves the careful values. */
		struct snap_account_row row = {
			.account = { .registration_check = true, .transports = 1 << SNAP_UDP },
		};
		const struct template *t =
			find_template(load->account_templates, load->n_account_templates,
				      template_of(rows, snap_account_binds, snap_n_account_binds));

		if (t)
			row = t->u.account;
		err = snap_bind_row(&row, rows, snap_account_binds, snap_n_account_binds,
				    load->arena);
		if (err || !row.account.username)
			continue;

		row.account.id = db_col_i64(rows, 0);
		row.account.enabled = row.account.enabled && usable;
		finish_account(load, &row);
		accounts[i] = row.account;
		if (row.extension_id)
			load->links[load->n_links++] =
				(struct link){ row.extension_id, (uint32_t)i };
		i++;
	}
	db_rows_close(rows);
	tenant->accounts = accounts;
	tenant->n_accounts = (uint32_t)i;

	return err ? err : n < 0 ? n : 0;
}

/* ------------------------------------------------------------------ extensions */

static const char *display_name(struct arena *arena, const struct snap_extension_row *row)
{
	const char *first = row->first_name ? row->first_name : "";
	const char *last = row->last_name ? row->last_name : "";

	if (!first[0] && !last[0])
		return row->extension.number;

	return arena_printf(arena, "%s%s%s", first, first[0] && last[0] ? " " : "", last);
}

static int by_number(const void *a, const void *b)
{
	return strcmp(((const struct snap_extension *)a)->number,
		      ((const struct snap_extension *)b)->number);
}

static int load_extensions(struct load *load, bool usable)
{
	struct snap_tenant *tenant = load->tenant;
	struct snap_extension *extensions;
	struct db_rows *rows = NULL;
	size_t total = 0, i = 0;
	int n = 0, err;

	err = count_rows(&total, load,
			 "SELECT COUNT(*) FROM extension_applied WHERE tenant_id = $1");
	if (err || total == 0)
		return err;

	extensions = arena_zalloc(load->arena, total * sizeof(*extensions));
	if (!extensions)
		return -ENOMEM;

	err = snap_query(&rows, load->db, "extension", snap_extension_binds, snap_n_extension_binds,
			 false, tenant->id);
	while (!err && i < total && (n = db_next(rows)) > 0) {
		struct snap_extension_row row = { .extension.no_answer_s = { 30, 30, 30 } };
		const struct template *t = find_template(
			load->extension_templates, load->n_extension_templates,
			template_of(rows, snap_extension_binds, snap_n_extension_binds));

		if (t)
			row = t->u.extension;
		err = snap_bind_row(&row, rows, snap_extension_binds, snap_n_extension_binds,
				    load->arena);
		if (err || !row.extension.number)
			continue;

		row.extension.id = db_col_i64(rows, 0);
		row.extension.enabled = row.extension.enabled && usable;
		row.extension.tenant = tenant;
		row.extension.display_name = display_name(load->arena, &row);
		if (!row.extension.display_name)
			err = -ENOMEM;
		extensions[i++] = row.extension;
	}
	db_rows_close(rows);
	if (i > 0)
		qsort(extensions, i, sizeof(*extensions), by_number);
	tenant->extensions = extensions;
	tenant->n_extensions = (uint32_t)i;

	return err ? err : n < 0 ? n : 0;
}

static int by_extension(const void *a, const void *b)
{
	const struct link *x = a, *y = b;

	if (x->extension_id != y->extension_id)
		return x->extension_id < y->extension_id ? -1 : 1;

	return (x->account > y->account) - (x->account < y->account);
}

struct place {
	int64_t id;
	uint32_t extension;
};

/* Accounts of one extension stand together in one array of pointers, in the order of their ids. */
static int link_accounts(struct load *load)
{
	struct snap_tenant *tenant = load->tenant;
	struct snap_account *accounts = (struct snap_account *)tenant->accounts;
	struct snap_extension *extensions = (struct snap_extension *)tenant->extensions;
	const struct snap_account **pointers;
	struct place *places;

	if (load->n_links == 0 || tenant->n_extensions == 0)
		return 0;

	places = calloc(tenant->n_extensions, sizeof(*places));
	pointers = arena_zalloc(load->arena, load->n_links * sizeof(*pointers));
	if (!places || !pointers) {
		free(places);
		return -ENOMEM;
	}

	for (uint32_t i = 0; i < tenant->n_extensions; i++)
		places[i] = (struct place){ extensions[i].id, i };
	qsort(places, tenant->n_extensions, sizeof(*places), by_id);
	qsort(load->links, load->n_links, sizeof(*load->links), by_extension);

	for (size_t i = 0; i < load->n_links; i++) {
		const struct link *link = &load->links[i];
		const struct place *place = bsearch(&link->extension_id, places,
						    tenant->n_extensions, sizeof(*places), by_id);
		struct snap_extension *ext;

		if (!place) /* applied in another order: the next apply brings it */
			continue;

		ext = &extensions[place->extension];
		pointers[i] = &accounts[link->account];
		accounts[link->account].extension = ext;
		if (ext->n_accounts == 0)
			ext->accounts = &pointers[i];
		ext->n_accounts++;
	}
	free(places);

	return 0;
}

/* ------------------------------------------------------------------ the tenant */

static int index_numbers(struct load *load)
{
	struct snap_tenant *tenant = load->tenant;
	struct snap_index *index = snap_index_alloc(load->arena, tenant->n_extensions);

	if (!index)
		return -ENOMEM;

	for (uint32_t i = 0; i < tenant->n_extensions; i++) {
		const char *number = tenant->extensions[i].number;

		snap_index_add(index, snap_hash(number, strlen(number)), i);
	}
	tenant->by_number = index;

	return 0;
}

static int load_header(struct load *load, int64_t tenant_id, bool *usable)
{
	struct snap_tenant *tenant = load->tenant;
	struct db_rows *rows = NULL;
	const char *mode;
	int n, err;

	err = db_query(&rows, load->db,
		       "SELECT t.domain, t.name, t.uuid, t.operating_mode, r.applied"
		       " FROM tenant_applied t"
		       " LEFT JOIN configuration_revision r ON r.tenant_id = t.id WHERE t.id = $1",
		       DB_ARGS(db_i64(tenant_id)));
	if (err)
		return err;

	n = db_next(rows);
	if (n > 0) {
		mode = db_col_text(rows, 3);
		*usable = !mode || strcmp(mode, "disabled") != 0; /* PLT-51: no telephony at all */
		tenant->id = tenant_id;
		tenant->domain = arena_strdup(load->arena, db_col_text(rows, 0));
		tenant->name = arena_strdup(load->arena, db_col_text(rows, 1));
		tenant->uuid = arena_strdup(load->arena, db_col_text(rows, 2));
		tenant->revision = db_col_i64(rows, 4);
	}
	db_rows_close(rows);

	return n > 0 ? 0 : n < 0 ? n : -ENOENT;
}

static int load_all(struct load *load, int64_t tenant_id)
{
	bool usable = true;
	int err;

	err = load_header(load, tenant_id, &usable);
	if (!err)
		err = load_templates(&load->account_templates, &load->n_account_templates, load,
				     "account", snap_account_binds, snap_n_account_binds);
	if (!err)
		err = load_templates(&load->extension_templates, &load->n_extension_templates, load,
				     "extension", snap_extension_binds, snap_n_extension_binds);
	if (!err)
		err = load_accounts(load, usable);
	if (!err)
		err = load_extensions(load, usable);
	if (!err)
		err = link_accounts(load);
	if (!err)
		err = index_numbers(load);
	if (!err)
		err = snap_sound_tenant(load->tenant, load->db, load->sip);

	return err;
}

int snap_tenant_load(struct snap_tenant **ret, struct db *db, int64_t tenant_id,
		     const struct snap_sip *sip)
{
	struct load load = { .db = db, .sip = sip };
	int err;

	err = arena_alloc(&load.arena, TENANT_ARENA_BYTES);
	if (err)
		return err;

	err = -ENOMEM;
	load.tenant = arena_zalloc(load.arena, sizeof(*load.tenant));
	load.md_ctx = EVP_MD_CTX_new();
	load.md5 = EVP_MD_fetch(NULL, "MD5", NULL);
	load.sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (!load.tenant || !load.md_ctx || !load.md5 || !load.sha256)
		goto out;

	load.tenant->arena = load.arena;
	load.tenant->refs = 1;
	if (sip->outbound_proxy) {
		load.system_proxy = arena_strdup(load.arena, sip->outbound_proxy);
		if (!load.system_proxy)
			goto out;
	}

	err = db_begin_read(db); /* one state of all tables */
	if (err)
		goto out;
	err = load_all(&load, tenant_id);
	db_rollback(db);

	if (!err && load.unreadable)
		log_error("snapshot.secret",
			  "accounts whose password cannot be opened are off;"
			  " set their passwords again",
			  kv_int("tenant", tenant_id), kv_int("accounts", load.unreadable));

out:
	EVP_MD_CTX_free(load.md_ctx);
	EVP_MD_free(load.md5);
	EVP_MD_free(load.sha256);
	free(load.account_templates);
	free(load.extension_templates);
	free(load.links);
	if (err)
		arena_free(load.arena);
	else
		*ret = load.tenant;

	return err;
}

int snap_tenant_ids(int64_t **ret, size_t *n, struct db *db)
{
	int64_t *list = NULL, *bigger;
	struct db_rows *rows = NULL;
	size_t count = 0;
	int got, err;

	err = db_query(&rows, db, "SELECT id FROM tenant_applied ORDER BY id", DB_NO_ARGS);
	if (err)
		return err;

	while ((got = db_next(rows)) > 0) {
		bigger = reallocarray(list, count + 1, sizeof(*list));
		if (!bigger) {
			got = -ENOMEM;
			break;
		}
		list = bigger;
		list[count++] = db_col_i64(rows, 0);
	}
	db_rows_close(rows);
	if (got < 0) {
		free(list);
		return got;
	}

	*ret = list;
	*n = count;

	return 0;
}
