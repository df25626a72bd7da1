/* SPDX-License-Identifier: Apache-2.0 */
#include "app/app.h"
#include "app/harden.h"
#include "audio/convert.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/err.h"
#include "base/log.h"
#include "jobs/jobs.h"
#include "media/media_main.h"
#include "switch/switch.h"
#include "web/web.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>


typedef int(main_h)(const struct config *config);

static const struct command {
	const char *name;
	main_h *main_h; /* NULL: handled before a configuration is read */
	const char *help;
} commands[] = {
	{ "run", supervisor_main, "start everything; restart what crashes" },
	{ "switch", switch_main, "SIP and calls (started by run)" },
	{ "media", media_main, "audio and video (started by run)" },
	{ "web", web_main, "web pages and API (started by run)" },
	{ "jobs", jobs_main, "background work (started by run)" },
	{ "ctl", NULL, "look at and command a running PBX; `aoide ctl --help`" },
	{ "version", NULL, "print the version" },
	{ "help", NULL, "print this" },
};
#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void print_help(FILE *out)
{
	(void)fprintf(out, "Aoide %s, an IP PBX.\n\nUsage: aoide COMMAND [--OPTION VALUE]...\n\n"
			   "Commands:\n",
		      AOIDE_VERSION);
	for (size_t i = 0; i < N_COMMANDS; i++)
		(void)fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].help);
	(void)fprintf(out, "\nOptions of run (a configuration file has the same keys, as \"key = value\" "
			   "lines):\n"
			   "  --config FILE          read this file first\n");
	config_help(out);
	(void)fprintf(out, "\nFirst start: `aoide run --demo` makes a data folder, a certificate and five "
			   "extensions,\nand prints where the web page is and how phones register.\n");
}

/* Takes "--key value" and "--key=value"; `--config` was read before. */
static int read_option(struct config *config, int argc, char *argv[], int *pos)
{
	char key[64], why[300];
	const char *arg = argv[*pos], *value = NULL;
	size_t len;

	if (strncmp(arg, "--", 2)) {
		(void)fprintf(stderr, "aoide: \"%s\" is not an option; see `aoide help`\n", arg);
		return -EINVAL;
	}
	arg += 2;
	len = strcspn(arg, "=");
	if (len >= sizeof(key)) {
		(void)fprintf(stderr, "aoide: --%s is not an option; see `aoide help`\n", arg);
		return -EINVAL;
	}
	memcpy(key, arg, len);
	key[len] = '\0';

	if (arg[len] == '=') {
		value = arg + len + 1;
	} else if (!config_is_flag(key)) {
		if (*pos + 1 >= argc && !strcmp(key, "config")) {
			(void)fprintf(stderr, "aoide: --config needs a file\n");
			return -EINVAL;
		}
		value = *pos + 1 < argc ? argv[++*pos] : ""; /* which config_set() refuses by name */
	}
	if (!strcmp(key, "config"))
		return 0;

	if (config_set(config, key, value, why, sizeof(why))) {
		(void)fprintf(stderr, "aoide: --%s\n", why);
		return -EINVAL;
	}

	return 0;
}

static const char *config_file_of(int argc, char *argv[])
{
	for (int i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "--config=", 9))
			return argv[i] + 9;
		if (!strcmp(argv[i], "--config"))
			return i + 1 < argc ? argv[i + 1] : NULL;
	}

	return NULL;
}

static int read_config(struct config *config, int argc, char *argv[])
{
	const char *file = config_file_of(argc, argv);
	char why[400];
	int err;

	if (file && config_read(config, file, why, sizeof(why))) {
		(void)fprintf(stderr, "aoide: %s\n", why);
		return -EINVAL;
	}
	for (int i = 0; i < argc; i++) {
		err = read_option(config, argc, argv, &i);
		if (err)
			return err;
	}
	err = log_levels_set(config->log_level);
	if (err) {
		(void)fprintf(stderr,
			      "aoide: log-level: \"%s\" is not like \"info\" or \"info,sip=debug\"; modules "
			      "are %s\n",
			      config->log_level, log_module_names());
		return -EINVAL;
	}

	return config_finish(config);
}

static bool asks_for_help(int argc, char *argv[])
{
	for (int i = 0; i < argc; i++) {
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return true;
	}

	return false;
}

static int run(const struct command *command, int argc, char *argv[])
{
	struct config *config = NULL;
	int err;

	if (asks_for_help(argc, argv)) {
		print_help(stdout);
		return EXIT_SUCCESS;
	}

	err = config_alloc(&config);
	if (!err)
		err = read_config(config, argc, argv);
	if (err)
		goto out;
	(void)prctl(PR_SET_NAME, command->name); /* else "exe", for who looks with top */
	harden_process(command->name, config);   /* before the log's thread */
	err = log_start(!strcmp(command->name, "run") ? "supervisor" : command->name);
	if (err)
		goto out;

	err = command->main_h(config);
	if (err)
		log_error("main.end",
			  err == -ENOSPC ? "the disk of the data folder is full: free some space" :
					   "the process could not do its work",
			  kv_err(err));
	log_stop();

out:
	config_free(config);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char *argv[])
{
	const char *name = argc > 1 ? argv[1] : "help";

	(void)signal(SIGPIPE, SIG_IGN); /* every write checks its result */
	json_object_seed(0);            /* before there are threads */

	if (!strcmp(name, "version") || !strcmp(name, "--version")) {
		(void)printf("aoide %s\n", AOIDE_VERSION);
		return EXIT_SUCCESS;
	}
	if (!strcmp(name, "help") || !strcmp(name, "--help") || !strcmp(name, "-h")) {
		print_help(stdout);
		return EXIT_SUCCESS;
	}
	/* Children of jobs that decode what was uploaded; without rights, so without configuration. */
	if (!strcmp(name, "convert") || !strcmp(name, "unpack"))
		audio_child_main(name);
	if (!strcmp(name, "ctl"))
		return ctl_main(argc - 2, argv + 2);

	for (size_t i = 0; i < N_COMMANDS; i++) {
		if (!strcmp(commands[i].name, name) && commands[i].main_h)
			return run(&commands[i], argc - 2, argv + 2);
	}

	(void)fprintf(stderr, "aoide: \"%s\" is not a command; see `aoide help`\n", name);
	return EXIT_FAILURE;
}
