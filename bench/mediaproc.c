/* SPDX-License-Identifier: Apache-2.0 */
#include "mediaproc.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/config.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/re.h"
#include "media/client.h"
#include "media/media_main.h"

#define RTP_PORTS "20000-29999"
#define BEGIN_MS  5000
#define OPEN_MS   10000

int mediaproc_init(struct mediaproc *ret, const char *log_level, unsigned max_fds)
{
	struct rlimit files;

	*ret = (struct mediaproc){ .dir = "/tmp/aoide-bench-XXXXXX" };
	(void)signal(SIGPIPE, SIG_IGN);
	(void)log_level_set("*", log_level);
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	if (!mkdtemp(ret->dir))
		return -errno;
	(void)snprintf(ret->socket, sizeof(ret->socket), "%s/run/media.sock", ret->dir);
	return libre_init() || fd_setsize((int)max_fds) ? -ENOMEM : 0;
}

void mediaproc_close(struct mediaproc *proc)
{
	char command[128];

	libre_close();
	(void)snprintf(command, sizeof(command), "rm -rf %s", proc->dir);
	(void)!system(command);
}

/* ------------------------------------------------------------------ the loop */

struct until {
	mediaproc_cond_h *cond;
	void *arg;
	uint64_t end_ms;
	struct tmr tmr;
};

static void until_h(void *arg)
{
	struct until *until = arg;

	if (clk_mono_ms() >= until->end_ms || (until->cond && until->cond(until->arg)))
		re_cancel();
	else
		tmr_start(&until->tmr, 1, until_h, until);
}

bool mediaproc_until(mediaproc_cond_h *cond, void *arg, unsigned ms)
{
	struct until until = { .cond = cond, .arg = arg, .end_ms = clk_mono_ms() + ms };

	tmr_init(&until.tmr);
	tmr_start(&until.tmr, 1, until_h, &until);
	(void)re_main(NULL);
	tmr_cancel(&until.tmr);
	return cond && cond(arg);
}

/* ------------------------------------------------------------------ the process */

static int run_media(const struct mediaproc *proc, unsigned threads, const char *music)
{
	struct config *config = NULL;
	char why[200], n_threads[16];
	int err;

	(void)snprintf(n_threads, sizeof(n_threads), "%u", threads);
	err = config_alloc(&config);
	if (!err)
		err = config_set(config, "data", proc->dir, why, sizeof(why)) ||
		      config_set(config, "listen", "0.0.0.0", why, sizeof(why)) ||
		      config_set(config, "rtp-ports", RTP_PORTS, why, sizeof(why)) ||
		      config_set(config, "media-threads", n_threads, why, sizeof(why)) ||
		      (music && config_set(config, "moh-file", music, why, sizeof(why)));
	if (!err)
		err = media_main(config);
	config_free(config);
	return err;
}

static void up_h(bool up, void *arg)
{
	((struct mediaproc *)arg)->up = up;
}

static bool is_up(void *arg)
{
	return ((const struct mediaproc *)arg)->up;
}

int mediaproc_begin(struct mediaproc *proc, unsigned threads, const char *music)
{
	struct stat st;

	proc->up = false;
	proc->n_open = proc->n_failed = 0;
	proc->pid = fork();
	if (proc->pid < 0)
		return -errno;
	if (!proc->pid) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(run_media(proc, threads, music) ? 1 : 0);
	}
	for (int i = 0; i < BEGIN_MS / 10 && stat(proc->socket, &st); i++)
		usleep(10000);
	if (media_connect(&proc->media, proc->socket, up_h, proc))
		return -ENOTCONN;
	return mediaproc_until(is_up, proc, BEGIN_MS) ? 0 : -ETIMEDOUT;
}

void mediaproc_end(struct mediaproc *proc)
{
	proc->media = mem_deref(proc->media);
	if (proc->pid > 0) {
		(void)kill(proc->pid, SIGTERM);
		(void)waitpid(proc->pid, NULL, 0);
	}
	proc->pid = 0;
	(void)unlink(proc->socket);
}

/* ------------------------------------------------------------------ streams */

void mediaproc_event_h(const struct media_event *event, void *arg)
{
	struct mediaproc *proc = arg;

	proc->n_open += event->type == MEDIA_EV_OPENED;
	proc->n_failed += event->type == MEDIA_EV_FAILED || event->type == MEDIA_EV_LOST;
}

struct wanted {
	const struct mediaproc *proc;
	unsigned streams;
};

static bool all_told(void *arg)
{
	const struct wanted *wanted = arg;

	return wanted->proc->n_open + wanted->proc->n_failed >= wanted->streams;
}

int mediaproc_wait_open(struct mediaproc *proc, unsigned streams)
{
	struct wanted wanted = { proc, streams };

	if (mediaproc_until(all_told, &wanted, OPEN_MS) && !proc->n_failed)
		return 0;
	(void)fprintf(stderr, "of %u streams %u opened, %u failed\n", streams, proc->n_open,
		      proc->n_failed);
	return -ENOBUFS;
}

double mediaproc_cpu(pid_t pid)
{
	struct timespec t = { 0 };
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &t))
		return 0;
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}
