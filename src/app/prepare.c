/* SPDX-License-Identifier: Apache-2.0 */
#include "app/prepare.h"
#include "audio/store.h"
#include "base/config.h"
#include "base/err.h"
#include "base/log.h"
#include "base/seal.h"
#include "call/cdr.h"
#include "db/db.h"
#include "schema/schema.h"
#include "sip/registrar.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int make_folder(const char *path)
{
	char part[PATH_MAX];

	if (strlen(path) >= sizeof(part))
		return -ENAMETOOLONG;

	/* Parents, too: `aoide run --data /srv/pbx/data` shall just work. */
	for (const char *c = path + 1;; c++) {
		if (*c && *c != '/')
			continue;
		memcpy(part, path, (size_t)(c - path));
		part[c - path] = '\0';
		if (mkdir(part, 0700) && errno != EEXIST)
			return -errno;
		if (!*c)
			return 0;
	}
}

static int take_lock(const struct config *config, int *ret_fd)
{
	char path[PATH_MAX];
	const int fd = open(config_path(path, sizeof(path), config, "run/aoide.lock"),
			    O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		(void)close(fd);
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	}

	*ret_fd = fd;
	return 0;
}

int prepare_folders(struct config *config, int *ret_lock_fd)
{
	static const char *const folders[] = { "run", "tls", CONFIG_JOURNAL_DIR, "tmp",
						CONFIG_AUDIO_DIR };
	char path[PATH_MAX];
	char *absolute;
	int err;

	err = make_folder(config->data_dir);
	if (err) {
		log_error("data.folder",
			  "the data folder cannot be made: choose another with --data DIR",
			  kv_text("folder", config->data_dir), kv_err(err));
		return err;
	}
	absolute = realpath(config->data_dir, NULL);
	if (!absolute)
		return -errno;
	free(config->data_dir);
	config->data_dir = absolute;

	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		err = make_folder(config_path(path, sizeof(path), config, folders[i]));
		if (err) {
			log_error("data.folder", "a folder cannot be made: check owner and space",
				  kv_text("folder", path), kv_err(err));
			return err;
		}
	}

	/* The address of a Unix socket has 108 bytes. */
	if (strlen(config->data_dir) > 80) {
		log_error("data.folder",
			  "the path of the data folder is longer than 80 characters, too long for "
			  "sockets: choose another with --data DIR",
			  kv_text("folder", config->data_dir));
		return -ENAMETOOLONG;
	}

	err = take_lock(config, ret_lock_fd);
	if (err)
		log_error("data.locked",
			  err == -EBUSY ? "another `aoide run` uses this data folder: stop it, or choose "
				  "another folder with --data DIR" :
					  "the data folder cannot be locked",
			  kv_text("folder", config->data_dir), kv_err(err));
	return err;
}

static const char *open_remedy(int err, const struct config *config)
{
	if (config->database && !strncmp(config->database, "postgres", 8))
		return "the database cannot be opened: does PostgreSQL run, do user, password and name "
		       "of --database fit?";
	if (err == -ECORRUPT)
		return "the database file is damaged: put the file of a backup in its place, or move it "
		       "away to begin with an empty one";
	return "the database cannot be opened: check space and owner of the data folder";
}

int prepare_database(const struct config *config)
{
	static const struct {
		const char *what;
		int (*migrate)(struct db *db);
	} steps[] = {
		{ "schema", sch_migrate },
		{ "audio", audio_migrate },
		{ "registrations", reg_migrate },
		{ "cdr", cdr_migrate },
	};
	char url[PATH_MAX], why[300] = "";
	struct db *db = NULL;
	int err;

	err = db_open(&db, config_db_url(url, sizeof(url), config), why, sizeof(why));
	if (err) {
		log_error("db.open", open_remedy(err, config), kv_text("why", why), kv_err(err));
		return err;
	}

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && !err; i++) {
		err = steps[i].migrate(db);
		if (err)
			log_error("db.migrate", "the tables could not be brought up to date",
				  kv_text("step", steps[i].what), kv_err(err),
				  kv_text("why", db_error_text(db)));
	}

	if (db)
		db_close(db);
	return err;
}
