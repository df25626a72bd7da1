/* SPDX-License-Identifier: Apache-2.0 */
#include "app/child.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/err.h"
#include "base/log.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LEFTOVER_TERM_MS 5000u

static void pid_path(char *buf, size_t size, const char *name, const struct config *config)
{
	char file[64];

	(void)snprintf(file, sizeof(file), "run/%s.pid", name);
	(void)config_path(buf, size, config, file);
}

/* The lock on the pid file belongs to the open file, which only the child keeps: it is held exactly as
 * long as the child lives, however it ends. */
static int pid_file_open(const char *name, const struct config *config)
{
	char path[PATH_MAX];
	int fd;

	pid_path(path, sizeof(path), name, config);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		(void)close(fd);
		return -EBUSY;
	}

	return fd;
}

/* In the child, between fork and exec: only calls that are safe there. */
static void become(const struct child *child, int supervisor_pid, int pid_fd, const char *config_file)
{
	char *const argv[] = { "aoide", (char *)(uintptr_t)child->name, "--config",
			       (char *)(uintptr_t)config_file, NULL };
	char text[16];
	sigset_t none;
	int fd, n;

	/* Its own group: Ctrl-C is for the supervisor, which ends the others in order. */
	(void)setpgid(0, 0);
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != supervisor_pid)
		_exit(EXIT_FAILURE); /* it died before the line above */

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	fd = open("/dev/null", O_RDONLY);
	if (fd > STDIN_FILENO) {
		(void)dup2(fd, STDIN_FILENO);
		(void)close(fd);
	}

	n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	(void)!ftruncate(pid_fd, 0);
	(void)!pwrite(pid_fd, text, (size_t)n, 0);
	(void)fcntl(pid_fd, F_SETFD, 0); /* kept over exec, with the lock */
	if (child->kept_fd)
		(void)fcntl(child->kept_fd, F_SETFD, 0);

	(void)execv("/proc/self/exe", argv);
	_exit(EXIT_FAILURE);
}

int child_start(struct child *child, const struct config *config)
{
	const int supervisor_pid = (int)getpid();
	char config_file[PATH_MAX];
	int pid_fd, pid, err = 0;

	(void)config_path(config_file, sizeof(config_file), config, CONFIG_RUN_FILE);
	pid_fd = pid_file_open(child->name, config);
	if (pid_fd < 0) {
		err = pid_fd;
		goto out;
	}

	pid = fork();
	if (!pid)
		become(child, supervisor_pid, pid_fd, config_file);
	if (pid < 0)
		err = -errno;
	(void)close(pid_fd);
	if (err)
		goto out;

	child->pid = pid;
	child->started_ms = clk_mono_ms();
	child->kill_at_ms = 0;
	return 0;

out:
	child->start_at_ms = child_next_start_ms(child, clk_mono_ms());
	log_error("process.start", "a process cannot be started; it is tried again",
		  kv_text("process", child->name), kv_err(err));
	return err;
}

uint64_t child_next_start_ms(struct child *child, uint64_t now_ms)
{
	uint64_t wait_ms;

	if (child->started_ms && now_ms - child->started_ms >= CHILD_STABLE_MS)
		child->backoff_ms = 0;

	wait_ms = child->backoff_ms;
	child->backoff_ms = wait_ms ? wait_ms * 2 : CHILD_BACKOFF_FIRST_MS;
	if (child->backoff_ms > CHILD_BACKOFF_LAST_MS)
		child->backoff_ms = CHILD_BACKOFF_LAST_MS;

	return now_ms + wait_ms;
}

bool child_has_ended(struct child *child, bool is_wanted, char *how, size_t size)
{
	int status;

	if (!child->pid || waitpid(child->pid, &status, WNOHANG) != child->pid)
		return false;

	if (WIFSIGNALED(status))
		(void)snprintf(how, size, "signal %d (%s)", WTERMSIG(status),
			       strsignal(WTERMSIG(status)));
	else
		(void)snprintf(how, size, "exit code %d", WEXITSTATUS(status));

	child->pid = 0;
	child->kill_at_ms = 0;
	if (!is_wanted) {
		child->start_at_ms = child_next_start_ms(child, clk_mono_ms());
		child->restarts++;
	}

	return true;
}

void child_stop(struct child *child, unsigned grace_ms)
{
	const uint64_t now = clk_mono_ms();

	if (!child->pid)
		return;

	if (!child->kill_at_ms && grace_ms) {
		child->kill_at_ms = now + grace_ms;
		(void)kill(child->pid, SIGTERM);
	} else if (!grace_ms || now >= child->kill_at_ms) {
		log_warn("process.kill", "a process did not end in time and is killed",
			 kv_text("process", child->name));
		child->kill_at_ms = now + 1000;
		(void)kill(child->pid, SIGKILL);
	}
}

void child_signal(const struct child *child, int number)
{
	if (child->pid)
		(void)kill(child->pid, number);
}

static int read_pid(const char *path)
{
	FILE *file = fopen(path, "re");
	int pid = 0;

	if (!file)
		return 0;
	if (fscanf(file, "%d", &pid) != 1 || pid <= 1)
		pid = 0;
	(void)fclose(file);

	return pid;
}

void child_end_leftover(const char *name, const struct config *config)
{
	const uint64_t kill_at_ms = clk_mono_ms() + LEFTOVER_TERM_MS;
	char path[PATH_MAX];
	bool was_killed = false;
	int fd, pid;

	pid_path(path, sizeof(path), name, config);
	while ((fd = pid_file_open(name, config)) == -EBUSY) {
		pid = read_pid(path);
		/* It has the signal of its parent's death already, so it gets time before SIGKILL. */
		if (pid && !was_killed && clk_mono_ms() >= kill_at_ms) {
			log_warn("process.leftover", "a process of an earlier run is killed",
				 kv_text("process", name), kv_int("pid", pid));
			(void)kill(pid, SIGKILL);
			was_killed = true;
		}
		if (clk_mono_ms() >= kill_at_ms + LEFTOVER_TERM_MS)
			return; /* unkillable: child_start() will say so */
		(void)nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
	}
	if (fd >= 0)
		(void)close(fd);
}
