/* Which functions of a program run from some moment on: a breakpoint at the entry of each, taken away when it is met.
 *
 *   trace FUNCTIONS PROGRAM ARGUMENT... > RAN
 *
 * FUNCTIONS has a line `ADDRESS NAME` for each, in hexadecimal and in order, as `nm` has them; one address may have
 * several names. SIGUSR1 to the tracer sets the breakpoints; when the program has ended RAN gets the names of what ran
 * since then, the first first. Linux, x86-64. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

struct function {
    unsigned long at;
    char *name;
    unsigned char code;
    enum { UNSET, SET, RAN } state;
    size_t rank;
};

static struct function *functions;
static size_t count, ran;
static volatile sig_atomic_t asked;

static void ask(int signal) { (void)signal, asked = 1; }

static int read_functions(const char *path) {
    FILE *file = fopen(path, "r");
    size_t room = 0;
    struct function one = {0};
    while (file && fscanf(file, "%lx %ms", &one.at, &one.name) == 2) {
        if (count == room)
            functions = realloc(functions, (room = 2 * room + 1024) * sizeof *functions);
        if (!functions)
            return 0;
        functions[count++] = one;
    }
    return count > 0;
}

static int earlier(const void *one, const void *other) {
    const struct function *a = one, *b = other;
    return (a->rank > b->rank) - (a->rank < b->rank);
}

/* Where the program lies: the first mapping. */
static unsigned long base_of(pid_t pid) {
    char path[64];
    unsigned long base = 0;
    snprintf(path, sizeof path, "/proc/%d/maps", pid);
    FILE *file = fopen(path, "r");
    if (file && fscanf(file, "%lx", &base) != 1)
        base = 0;
    if (file)
        fclose(file);
    return base;
}

/* The first of those at this address. */
static struct function *find(unsigned long at) {
    size_t from = 0, to = count;
    while (from < to) {
        size_t middle = (from + to) / 2;
        if (functions[middle].at < at)
            from = middle + 1;
        else
            to = middle;
    }
    return from < count && functions[from].at == at ? &functions[from] : NULL;
}

static void set_all(int memory, unsigned long base) {
    const unsigned char breakpoint = 0xcc;
    for (size_t i = 0; i < count; i++)
        if (find(functions[i].at) == &functions[i] && pread(memory, &functions[i].code, 1, (off_t)(base + functions[i].at)) == 1 &&
            pwrite(memory, &breakpoint, 1, (off_t)(base + functions[i].at)) == 1)
            functions[i].state = SET;
}

/* A thread stopped after a breakpoint: let it run what stood there. Another thread may have met it at the same time. */
static int met(int memory, unsigned long base, pid_t thread) {
    struct user_regs_struct registers;
    if (ptrace(PTRACE_GETREGS, thread, 0, &registers))
        return 0;
    struct function *function = find(registers.rip - 1 - base);
    if (!function || function->state == UNSET)
        return 0;
    if (function->state == SET && pwrite(memory, &function->code, 1, (off_t)registers.rip - 1) == 1)
        function->state = RAN, function->rank = ran++;
    registers.rip--;
    return !ptrace(PTRACE_SETREGS, thread, 0, &registers);
}

int main(int argc, char **argv) {
    if (argc < 3 || !read_functions(argv[1])) {
        fprintf(stderr, "usage: trace FUNCTIONS PROGRAM ARGUMENT... > RAN\n");
        return 1;
    }
    pid_t child = fork();
    if (child == 0) {
        dup2(STDERR_FILENO, STDOUT_FILENO);
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        execv(argv[2], argv + 2);
        _exit(127);
    }
    int status;
    waitpid(child, &status, 0);
    ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL);
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/mem", child);
    int memory = open(path, O_RDWR);
    unsigned long base = base_of(child);
    signal(SIGUSR1, ask);
    ptrace(PTRACE_CONT, child, 0, 0);
    for (;;) {
        pid_t thread = waitpid(-1, &status, __WALL | WNOHANG);
        if (asked) {
            asked = 0;
            set_all(memory, base);
        }
        if (thread < 0)
            break;
        if (thread == 0) {
            usleep(50);
            continue;
        }
        if (!WIFSTOPPED(status))
            continue;
        int signal = WSTOPSIG(status);
        if (signal == SIGSTOP || (signal == SIGTRAP && (status >> 16 || met(memory, base, thread))))
            signal = 0;
        ptrace(PTRACE_CONT, thread, 0, signal);
    }
    for (size_t i = 1; i < count; i++)
        if (functions[i].at == functions[i - 1].at)
            functions[i].state = functions[i - 1].state, functions[i].rank = functions[i - 1].rank;
    qsort(functions, count, sizeof *functions, earlier);
    for (size_t i = 0; i < count; i++)
        if (functions[i].state == RAN)
            puts(functions[i].name);
    return 0;
}
