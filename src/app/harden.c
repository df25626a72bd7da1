/* SPDX-License-Identifier: Apache-2.0 */
#include "app/harden.h"
#include "base/config.h"
#include "base/err.h"
#include "base/log.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/landlock.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITE                                                                                      \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_SOCK |                            \
	 LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE)
/* Everything that Landlock's first version rules; what is not allowed below is forbidden. */
#define HANDLED                                                                                    \
	(READ | WRITE | LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_REMOVE_DIR |               \
	 LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR |                              \
	 LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |                            \
	 LANDLOCK_ACCESS_FS_MAKE_SYM)

static int allow(int rules, const char *path, uint64_t access)
{
	struct landlock_path_beneath_attr rule = { .allowed_access = access };
	int err = 0;

	rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0)
		return errno == ENOENT ? 0 : -errno; /* what is not there needs no right */
	if (syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0))
		err = -errno;
	(void)close(rule.parent_fd);

	return err;
}

static int confine_media(const struct config *config)
{
	static const char *const readable[] = { "/usr", "/lib", "/lib64", "/etc", "/proc", "/sys" };
	const struct landlock_ruleset_attr attr = { .handled_access_fs = HANDLED };
	char path[PATH_MAX], *slash;
	int rules, err = 0;

	rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (rules < 0)
		return -errno;

	for (size_t i = 0; i < sizeof(readable) / sizeof(readable[0]) && !err; i++)
		err = allow(rules, readable[i], READ);
	if (!err)
		err = allow(rules, "/dev", READ | LANDLOCK_ACCESS_FS_WRITE_FILE);
	if (!err)
		err = allow(rules, config_path(path, sizeof(path), config, "run"), READ | WRITE);
	if (!err)
		err = allow(rules, config_path(path, sizeof(path), config, CONFIG_AUDIO_DIR), READ);
	(void)mkdir(config_path(path, sizeof(path), config, CONFIG_RECORDINGS_DIR), 0700);
	if (!err)
		err = allow(rules, path, READ | WRITE | LANDLOCK_ACCESS_FS_MAKE_DIR);
	if (!err && config->share_dir)
		err = allow(rules, config->share_dir, READ);
	if (!err && config->moh_file) {
		(void)snprintf(path, sizeof(path), "%s", config->moh_file);
		slash = strrchr(path, '/');
		if (slash)
			*slash = '\0';
		err = allow(rules, slash ? path : ".", READ);
	}
	if (!err && syscall(SYS_landlock_restrict_self, rules, 0))
		err = -errno;
	(void)close(rules);

	return err;
}

void harden_process(const char *process, const struct config *config)
{
	int err;

	(void)umask(077);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (strcmp(process, "media"))
		return;

	/* A kernel without Landlock, or one that has it off, is no reason not to relay. */
	err = confine_media(config);
	if (err)
		log_warn("media.unconfined", "this kernel cannot confine the media process to its files",
			 kv_err(err));
}
