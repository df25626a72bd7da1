/* SPDX-License-Identifier: Apache-2.0 */
#include "audio/jail.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MEMORY_MAX_BYTES (1024ull * 1024 * 1024)

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif

static int limit(__rlimit_resource_t what, uint64_t value)
{
	const struct rlimit to = { value, value };

	return setrlimit(what, &to) ? -errno : 0;
}

/* Everything that the first version of Landlock rules, and no exception. */
static void forbid_files(void)
{
	const struct landlock_ruleset_attr attr = { .handled_access_fs = (1ull << 13) - 1 };
	int rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);

	if (rules < 0)
		return;
	(void)syscall(SYS_landlock_restrict_self, rules, 0);
	(void)close(rules);
}

/* What decoding needs; anything else ends with EPERM, so that a library that only wonders about
 * the time zone goes on. Numbers are those of the machine we are built for, which is checked first. */
static const int allowed[] = {
	SYS_read, SYS_write, SYS_pread64, SYS_pwrite64, SYS_readv, SYS_writev, SYS_lseek, SYS_fstat,
#ifdef SYS_newfstatat
	SYS_newfstatat,
#endif
	SYS_ftruncate, SYS_fsync, SYS_fdatasync, SYS_close, SYS_fcntl, SYS_brk, SYS_mmap, SYS_munmap,
	SYS_mremap, SYS_mprotect, SYS_madvise, SYS_exit, SYS_exit_group, SYS_rt_sigreturn,
	SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_sigaltstack, SYS_clock_gettime, SYS_getrandom, SYS_futex,
	SYS_gettid, SYS_getpid, SYS_getuid, SYS_sched_yield, SYS_nanosleep, SYS_clock_nanosleep,
#if defined(HAS_ASAN)
	SYS_prctl, SYS_readlink, SYS_openat, SYS_open, SYS_clone, SYS_wait4, SYS_prlimit64,
	SYS_sched_getaffinity, SYS_ptrace, SYS_kill, SYS_getppid,
#endif
};
#define N_ALLOWED (sizeof(allowed) / sizeof(allowed[0]))

#if defined(__x86_64__)
#define MACHINE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define MACHINE AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define MACHINE AUDIT_ARCH_RISCV64
#endif

static int filter_calls(void)
{
#ifdef MACHINE
	struct sock_filter code[N_ALLOWED + 8];
	struct sock_fprog program = { .filter = code };
	unsigned short n = 0;

	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						 offsetof(struct seccomp_data, arch));
	code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MACHINE, 1, 0);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						 offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < N_ALLOWED; i++)
		code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
							 (unsigned)allowed[i],
							 (unsigned char)(N_ALLOWED - i), 0);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	program.len = n;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) ? -errno : 0;
#else
	return 0; /* Landlock, limits and the unit's own filter remain */
#endif
}

int jail_enter(uint64_t file_max_bytes, unsigned cpu_s)
{
	int err;

	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	err = limit(RLIMIT_FSIZE, file_max_bytes);
	if (!err)
		err = limit(RLIMIT_CPU, cpu_s);
	if (!err)
		err = limit(RLIMIT_CORE, 0);
#ifndef HAS_ASAN /* whose shadow is larger than any memory */
	if (!err)
		err = limit(RLIMIT_AS, MEMORY_MAX_BYTES);
#endif
	if (err)
		return err;
	forbid_files();
	return filter_calls();
}
