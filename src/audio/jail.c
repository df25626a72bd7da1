/* SPDX-License-Identifier: Apache-2.0 */
#include "audio/jail.h"

#include <errno.h>
#include <fcntl.h>
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

static int set_limits(uint64_t file_max_bytes, unsigned cpu_s)
{
	int err;

	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	err = limit(RLIMIT_FSIZE, file_max_bytes);
	if (!err)
		err = limit(RLIMIT_CPU, cpu_s);
	return err ? err : limit(RLIMIT_CORE, 0);
}

/* ------------------------------------------------------------------ files */

#define READ_FILES (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)

struct access {
	const char *path;
	uint64_t rights;
};

/* Everything that the first version of Landlock rules, but for these. A kernel without it is no error:
 * what is decoded in here is filtered by system call, programs are bound by the unit's rules. */
static void forbid_files(const struct access *but, size_t n)
{
	const struct landlock_ruleset_attr attr = { .handled_access_fs = (1ull << 13) - 1 };
	int rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);

	if (rules < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		struct landlock_path_beneath_attr rule = { .allowed_access = but[i].rights };

		rule.parent_fd = open(but[i].path, O_PATH | O_CLOEXEC);
		if (rule.parent_fd < 0)
			continue; /* what is not there needs no right */
		(void)syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
		(void)close(rule.parent_fd);
	}
	(void)syscall(SYS_landlock_restrict_self, rules, 0);
	(void)close(rules);
}

/* ------------------------------------------------------------------ system calls */

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
	int err = set_limits(file_max_bytes, cpu_s);

#ifndef HAS_ASAN /* whose shadow is larger than any memory */
	if (!err)
		err = limit(RLIMIT_AS, MEMORY_MAX_BYTES);
#endif
	if (err)
		return err;
	forbid_files(NULL, 0);
	return filter_calls();
}

/* What a decoder has no use for, and an attacker would. */
static int filter_program(void)
{
#ifdef MACHINE
	static const int denied[] = { SYS_socket, SYS_socketpair, SYS_connect, SYS_bind, SYS_ptrace,
				      SYS_kill, SYS_process_vm_readv, SYS_process_vm_writev, SYS_mount,
				      SYS_unshare, SYS_keyctl, SYS_bpf, SYS_io_uring_setup };
	const size_t count = sizeof(denied) / sizeof(denied[0]);
	struct sock_filter code[sizeof(denied) / sizeof(denied[0]) + 8];
	struct sock_fprog program = { .filter = code };
	unsigned short n = 0;

	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						 offsetof(struct seccomp_data, arch));
	code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MACHINE, 1, 0);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						 offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < count; i++)
		code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)denied[i],
							 (unsigned char)(count - i), 0);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
	program.len = n;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) ? -errno : 0;
#else
	return 0;
#endif
}

int jail_program(const char *in_path, const char *out_path, uint64_t file_max_bytes, unsigned cpu_s)
{
	const uint64_t run = READ_FILES | LANDLOCK_ACCESS_FS_EXECUTE;
	const struct access but[] = {
		{ "/usr", run },
		{ "/lib", run },
		{ "/lib64", run },
		{ "/bin", run },
		{ "/etc/ld.so.cache", LANDLOCK_ACCESS_FS_READ_FILE },
		{ "/etc/alternatives", READ_FILES },
		{ "/dev/null", LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE },
		{ "/dev/urandom", LANDLOCK_ACCESS_FS_READ_FILE },
		{ in_path, LANDLOCK_ACCESS_FS_READ_FILE },
		{ out_path, LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE },
	};
	int err = set_limits(file_max_bytes, cpu_s);

	if (!err)
		err = limit(RLIMIT_AS, 2 * MEMORY_MAX_BYTES);
	if (err)
		return err;
	forbid_files(but, sizeof(but) / sizeof(but[0]));
	return filter_program();
}
