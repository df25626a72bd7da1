/* SPDX-License-Identifier: Apache-2.0 */
#include "audio/convert.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audio/audio_priv.h"
#include "audio/jail.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

/*
 * Both sides of the jailed child: this very binary, started with three descriptors and nothing else.
 * It says one line on descriptor 3: `ok <rate> <ms> <format>` or `no <reason>`.
 */
#define OUTPUT_MAX_BYTES ((uint64_t)AUDIO_MAX_S * 48000 * 2 + 1024 * 1024)
#define FFMPEG_MAX_BYTES ((uint64_t)3900 * 1024 * 1024) /* what a WAV can hold */
#define CHILD_MAX_MS ((AUDIO_CONVERT_S + 30) * 1000ull)
#define STOP_LOOK_MS 200
#define WORDS_FD 3
#define WORDS_MAX 512

/* ------------------------------------------------------------------ the child's side */

void audio_child_main(const char *command)
{
	struct audio_info info = { 0 };
	const char *reason = "converter";
	bool unpacks = !strcmp(command, "unpack");

	if (!jail_enter(OUTPUT_MAX_BYTES, AUDIO_CONVERT_S)) {
		if (unpacks)
			_exit(audio_unpack_child(STDIN_FILENO, STDOUT_FILENO));
		reason = audio_convert(STDIN_FILENO, STDOUT_FILENO, &info);
	}
	if (reason)
		(void)dprintf(WORDS_FD, "no %s\n", reason);
	else
		(void)dprintf(WORDS_FD, "ok %lld %lld %s\n", (long long)info.rate_hz,
			      (long long)info.duration_ms, info.source_format);
	/* What runs at a usual exit has no rights left. */
	_exit(reason ? EXIT_FAILURE : EXIT_SUCCESS);
}

/* ------------------------------------------------------------------ the parent's side */

/* Between fork and exec: only calls that are safe there. Descriptors go up first, so that none is
 * overwritten before it is copied. */
static void become(const char *command, int in_fd, int out_fd, int words_fd)
{
	char *const argv[] = { "aoide", (char *)(uintptr_t)command, NULL };
	char *const envp[] = { "LC_ALL=C", NULL };
	int from[3] = { in_fd, out_fd, words_fd };
	sigset_t none;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	for (int i = 0; i < 3; i++)
		from[i] = fcntl(from[i], F_DUPFD, 10);
	if (dup2(from[0], STDIN_FILENO) < 0 || dup2(from[1], STDOUT_FILENO) < 0 ||
	    dup2(from[2], WORDS_FD) < 0)
		_exit(EXIT_FAILURE);
	(void)close_range(WORDS_FD + 1, ~0u, 0);
	(void)execve("/proc/self/exe", argv, envp);
	_exit(EXIT_FAILURE);
}

int audio_child_start(const char *command, int in_fd, int out_fd, int words_fd)
{
	int pid = fork();

	if (!pid)
		become(command, in_fd, out_fd, words_fd);
	return pid < 0 ? -errno : pid;
}

bool audio_child_end(int pid, bool kill_it)
{
	int status = 0;

	if (kill_it)
		(void)kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
}

/* Waits for a descriptor of a child. False: the time is over, or nobody wants it any more. */
static bool wait_for(int fd, uint64_t end_ms, const atomic_bool *stop)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	while (clk_mono_ms() < end_ms && !(stop && atomic_load(stop)))
		if (poll(&p, 1, STOP_LOOK_MS) != 0)
			return true;
	return false;
}

/* What the child says, until it has ended or the time is over. */
static bool read_words(char words[WORDS_MAX], int fd, const atomic_bool *stop)
{
	uint64_t end_ms = clk_mono_ms() + CHILD_MAX_MS;
	size_t len = 0;

	for (;;) {
		ssize_t n;

		if (!wait_for(fd, end_ms, stop))
			return false;
		n = read(fd, words + len, WORDS_MAX - 1 - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || len + (size_t)n == WORDS_MAX - 1)
			break;
		len += (size_t)n;
	}
	words[len] = '\0';
	words[strcspn(words, "\n")] = '\0';
	return true;
}

/* Words of the child are data like any other: only what is known counts. */
static const char *understand(struct audio_info *info, const char *words)
{
	static const char *const known[] = { "unreadable", "empty", "too_long", "damaged", "disk_full" };
	long long rate, ms;
	int at = 0;

	if (sscanf(words, "ok %lld %lld %n", &rate, &ms, &at) == 2 && at > 0 &&
	    (rate == 8000 || rate == 16000 || rate == 48000) && ms >= 0) {
		info->rate_hz = rate;
		info->duration_ms = ms;
		(void)snprintf(info->source_format, sizeof(info->source_format), "%s", words + at);
		for (char *c = info->source_format; *c; c++)
			if (*c < ' ' || *c > '~')
				*c = '?';
		return NULL;
	}
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!strncmp(words, "no ", 3) && !strcmp(words + 3, known[i]))
			return known[i];
	return "converter";
}

static const char *run_child(int in_fd, int out_fd, const atomic_bool *stop,
			     struct audio_info *info)
{
	char words[WORDS_MAX] = "";
	int words_fds[2], pid;
	bool in_time;

	if (pipe2(words_fds, O_CLOEXEC))
		return "converter";
	pid = audio_child_start("convert", in_fd, out_fd, words_fds[1]);
	(void)close(words_fds[1]);
	if (pid < 0) {
		(void)close(words_fds[0]);
		return "converter";
	}
	in_time = read_words(words, words_fds[0], stop);
	(void)close(words_fds[0]);
	if (!audio_child_end(pid, !in_time) && strncmp(words, "no ", 3)) {
		if (stop && atomic_load(stop))
			return "stopped";
		log_warn("audio.child", "a conversion did not come to its end",
			 kv_text("said", words), kv_int("in_time", in_time));
		return in_time ? "converter" : "too_slow";
	}
	return understand(info, words);
}

/* ------------------------------------------------------------------ what our libraries do not know */

#define FFMPEG "/usr/bin/ffmpeg"
/* Of its many formats those that hold sound people have; none that leads to other files. */
#define FFMPEG_FORMATS "aac,amr,amrnb,amrwb,ape,asf,avi,3gp,mov,mp4,m4a,matroska,webm,mpc,mpc8,tta,wv,ac3,eac3,dts," \
		       "caf,aiff,wav,mp3,flac,ogg"

static _Noreturn void become_ffmpeg(const char *in_path, const char *out_path)
{
	char *const argv[] = { "ffmpeg", "-v", "quiet", "-nostdin", "-y", "-protocol_whitelist", "file",
			       "-format_whitelist", FFMPEG_FORMATS, "-i", (char *)(uintptr_t)in_path, "-map",
			       "0:a:0", "-t", "10801", "-threads", "1", "-c:a", "pcm_s16le", "-f", "wav",
			       "-rf64", "never", (char *)(uintptr_t)out_path, NULL };
	char *const envp[] = { "LC_ALL=C", "PATH=/usr/bin:/bin", NULL };
	int null = open("/dev/null", O_RDWR);

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int fd = 0; fd < 3; fd++)
		(void)dup2(null, fd);
	(void)close_range(3, ~0u, 0);
	if (jail_program(in_path, out_path, FFMPEG_MAX_BYTES, AUDIO_CONVERT_S))
		_exit(EXIT_FAILURE);
	(void)execve(FFMPEG, argv, envp);
	_exit(EXIT_FAILURE);
}

static bool ends_in_time(int pid, const atomic_bool *stop)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	bool in_time = fd < 0 || wait_for(fd, clk_mono_ms() + CHILD_MAX_MS, stop);

	if (fd >= 0)
		(void)close(fd);
	return audio_child_end(pid, !in_time) && in_time;
}

/*
 * ffmpeg, where somebody has installed it, reads what libsndfile and mpg123 do not: M4A and AAC of mobile
 * phones, AMR, WMA, the sound of films. It writes a WAV at raw_path, which goes the way of all.
 */
static bool decode_elsewhere(const char *in_path, const char *raw_path, const atomic_bool *stop)
{
	char in[PATH_MAX], out[PATH_MAX];
	int fd, pid;

	if (access(FFMPEG, X_OK) || !realpath(in_path, in))
		return false;
	fd = open(raw_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	(void)close(fd);
	if (!realpath(raw_path, out))
		return false;
	pid = fork();
	if (!pid)
		become_ffmpeg(in, out);
	return pid > 0 && ends_in_time(pid, stop);
}

/* As run_child(), for what it called unreadable. */
static const char *run_elsewhere(const char *in_path, const char *part_path, int out_fd,
				 const atomic_bool *stop, struct audio_info *info)
{
	char raw_path[PATH_MAX];
	const char *reason = "unreadable";
	int fd;

	if ((size_t)snprintf(raw_path, sizeof(raw_path), "%s.raw", part_path) >= sizeof(raw_path))
		return reason;
	if (decode_elsewhere(in_path, raw_path, stop)) {
		fd = open(raw_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (fd >= 0) {
			reason = run_child(fd, out_fd, stop, info);
			(void)close(fd);
		}
	}
	(void)unlink(raw_path);
	return stop && atomic_load(stop) ? "stopped" : reason;
}

/* Every folder of the path but the last part. */
static int make_folders(const char *path)
{
	char part[PATH_MAX];

	if (strlen(path) >= sizeof(part))
		return -ENAMETOOLONG;
	for (const char *c = strchr(path + 1, '/'); c; c = strchr(c + 1, '/')) {
		memcpy(part, path, (size_t)(c - path));
		part[c - path] = '\0';
		if (mkdir(part, 0700) && errno != EEXIST)
			return -errno;
	}
	return 0;
}

static int sync_folder(const char *path)
{
	char folder[PATH_MAX];
	int fd, err;

	(void)snprintf(folder, sizeof(folder), "%s", path);
	*strrchr(folder, '/') = '\0';
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = fsync(fd) ? -errno : 0;
	(void)close(fd);
	return err;
}

static const char *reason_of(int err)
{
	return err == -ENOSPC || err == -EDQUOT ? "disk_full" : "converter";
}

const char *audio_convert_file(const char *in_path, const char *out_path, const atomic_bool *stop,
			       struct audio_info *ret)
{
	char part_path[PATH_MAX];
	const char *reason = NULL;
	int in_fd, out_fd = -1, err;

	if ((size_t)snprintf(part_path, sizeof(part_path), "%s.part", out_path) >= sizeof(part_path))
		return "converter";
	in_fd = open(in_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (in_fd < 0)
		return errno == ENOENT ? "lost" : "converter";
	err = make_folders(out_path);
	if (!err) {
		/* One conversion at a time writes it: whatever lies there is of a crash. */
		out_fd = open(part_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		err = out_fd < 0 ? -errno : 0;
	}
	if (err)
		reason = reason_of(err);
	if (!reason)
		reason = run_child(in_fd, out_fd, stop, ret);
	if (reason && !strcmp(reason, "unreadable"))
		reason = run_elsewhere(in_path, part_path, out_fd, stop, ret);
	if (!reason && fsync(out_fd))
		reason = reason_of(-errno);
	if (!reason && rename(part_path, out_path))
		reason = reason_of(-errno);
	if (!reason && sync_folder(out_path))
		reason = "converter";
	if (reason && out_fd >= 0)
		(void)unlink(part_path);
	if (out_fd >= 0)
		(void)close(out_fd);
	(void)close(in_fd);
	return reason;
}
