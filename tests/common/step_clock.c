/* step_clock SECONDS PROGRAM [ARGUMENT]...
 *
 * Runs a program and adds SECONDS to every reading of the wall clock, as if somebody had set the clock
 * after the program started. Then writes to standard error how often the program read the wall clock
 * and how often the monotonic clock. It serves static programs, on which libfaketime has no effect: it
 * hides the vDSO, so that the program makes a system call, and changes the kernel's answer.
 */
#include <elf.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static pid_t program;

static struct user_regs_struct registers(void)
{
	struct user_regs_struct regs;
	struct iovec io = { &regs, sizeof regs };
	if (ptrace(PTRACE_GETREGSET, program, (void *)NT_PRSTATUS, &io) != 0)
		exit(125);
	return regs;
}

#ifdef __x86_64__
#define STACK(regs) (regs).rsp
#define CALL(regs) (regs).orig_rax
#define FIRST(regs) (regs).rdi
#define SECOND(regs) (regs).rsi
#else
#define STACK(regs) (regs).sp
#define CALL(regs) (regs).regs[8]
#define FIRST(regs) (regs).regs[0]
#define SECOND(regs) (regs).regs[1]
#endif

static long word(unsigned long at)
{
	return ptrace(PTRACE_PEEKDATA, program, (void *)at, 0);
}

static void remove_vdso(void)
{
	unsigned long at = STACK(registers());
	at += sizeof(long) * (1 + word(at) + 1); /* argc, argv, 0 */
	while (word(at) != 0) /* the environment */
		at += sizeof(long);
	for (at += sizeof(long); word(at) != AT_NULL; at += 2 * sizeof(long))
		if (word(at) == AT_SYSINFO_EHDR)
			ptrace(PTRACE_POKEDATA, program, (void *)at, (void *)AT_IGNORE);
}

int main(int argc, char **argv)
{
	int status, is_entry = 1, wall = 0, monotonic = 0;
	long step;
	struct user_regs_struct entry = { 0 };

	if (argc < 3)
		return 125;
	step = atol(argv[1]);
	program = fork();
	if (program == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		execv(argv[2], argv + 2);
		_exit(127);
	}
	waitpid(program, &status, 0);
	if (!WIFSTOPPED(status))
		return 125;
	ptrace(PTRACE_SETOPTIONS, program, 0, (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL));
	remove_vdso();
	for (long pass = 0;;) {
		ptrace(PTRACE_SYSCALL, program, 0, (void *)pass);
		waitpid(program, &status, 0);
		if (WIFEXITED(status))
			break;
		if (!WIFSTOPPED(status))
			return 125;
		pass = 0;
		if (WSTOPSIG(status) != (SIGTRAP | 0x80)) {
			pass = WSTOPSIG(status);
			continue;
		}
		if (is_entry) {
			entry = registers();
		} else if (CALL(entry) == SYS_clock_gettime) {
			unsigned long seconds = SECOND(entry);
			if (FIRST(entry) == CLOCK_REALTIME) {
				wall++;
				ptrace(PTRACE_POKEDATA, program, (void *)seconds,
				       (void *)(word(seconds) + step));
			} else {
				monotonic++;
			}
		}
		is_entry = !is_entry;
	}
	fprintf(stderr, "wall clock %d monotonic %d\n", wall, monotonic);
	return WEXITSTATUS(status);
}
