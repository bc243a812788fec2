/* The last answer of a dying process, and its last message. */
#include "cepoll.h"
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { STACK = 64 << 10, HEADER = 8, END = 16, NOTICE = 24, LONGEST_WAIT_NS = 200000000 };

_Static_assert(sizeof(cepoll_pending) == 8 && offsetof(cepoll_pending, request_id) == 4 && offsetof(cepoll_pending, has_begun) == 6,
               "as in cscoreboard_slot");

static cepoll_pending own = {.descriptor = -1}, *pending = &own;

cepoll_pending *cepoll_pending_answer(void) { return pending; }

void cepoll_share_pending_answer(void *memory) {
    pending = memory;
    pending->descriptor = -1;
    pending->has_begun = false;
}

static void put_header(unsigned char *at, unsigned char type, unsigned id, size_t length, size_t padding) {
    const unsigned char header[HEADER] = {1, type, (unsigned char)(id >> 8), (unsigned char)id,
                                          (unsigned char)(length >> 8), (unsigned char)length, (unsigned char)padding, 0};
    memcpy(at, header, sizeof header);
}

/* Only what signal-safety(7) allows, and no memory but this stack. */
static void answer(const char *text) {
    unsigned char bytes[512] = {0};
    size_t length = strlen(text), padding = -length & 7, total = HEADER + length + padding;
    if (total + END > sizeof bytes) return;
    put_header(bytes, 6, pending->request_id, length, padding);
    memcpy(bytes + HEADER, text, length);
    put_header(bytes + total, 3, pending->request_id, 8, 0);
    ssize_t ignored = send(pending->descriptor, bytes, total + END, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)ignored;
}

static pid_t owner;

static struct {
    int channel;
    unsigned char bytes[NOTICE];
    uint32_t *word;
} notice = {.channel = -1};

void cepoll_announce_death(int channel, const void *message, uint32_t *word) {
    notice.channel = channel;
    memcpy(notice.bytes, message, NOTICE);
    notice.word = word;
}

/* Tells whoever looks after this process how it dies, and waits until its memory has been read; not for long. */
static void announce(int number) {
    if (notice.channel < 0) return;
    /* The client has its answer: it need not wait with us. */
    if (pending->descriptor >= 0) (void)shutdown(pending->descriptor, SHUT_WR);
    const uint64_t value = (uint64_t)number;
    memcpy(notice.bytes + NOTICE - sizeof value, &value, sizeof value);
    __atomic_store_n(notice.word, 1, __ATOMIC_SEQ_CST);
    int channel = notice.channel;
    notice.channel = -1;
    struct timespec until;
    if (clock_gettime(CLOCK_MONOTONIC, &until) < 0) return;
    until.tv_nsec += LONGEST_WAIT_NS;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    if (send(channel, notice.bytes, NOTICE, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) return;
    while (__atomic_load_n(notice.word, __ATOMIC_SEQ_CST) == 1)
        if (syscall(SYS_futex, notice.word, FUTEX_WAIT_BITSET, 1, &until, NULL, FUTEX_BITSET_MATCH_ANY) < 0 &&
            errno != EINTR && errno != EAGAIN)
            return;
}

void cepoll_let_die(uint32_t *word) {
    __atomic_store_n(word, 0, __ATOMIC_SEQ_CST);
    (void)syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void on_death(int number, siginfo_t *info, void *context) {
    (void)context;
    int saved = errno;
    /* A fork of the script has this handler as well, and no business with the connection. */
    const bool is_owner = getpid() == owner;
    if (is_owner && pending->descriptor >= 0 && !pending->has_begun) {
        pending->has_begun = true;
        if (number != SIGTERM)
            answer("Status: 500 Internal Server Error\r\nContent-type: text/html; charset=UTF-8\r\n\r\n"
                   "The script ended unexpectedly.\n");
        else if (info->si_code == SI_QUEUE)
            answer("Status: 504 Gateway Timeout\r\nContent-type: text/html; charset=UTF-8\r\n\r\n"
                   "The script took too long.\n");
        else
            answer("Status: 503 Service Unavailable\r\nContent-type: text/html; charset=UTF-8\r\n\r\n"
                   "The request was ended. Please try again.\n");
    }
    if (is_owner && number != SIGTERM) announce(number);
    /* The same death as without this handler: by the same signal, with the same core. */
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigaction(number, &action, NULL);
    /* The instruction that is at fault is executed again; these are over, and the process would go on. */
    const bool is_over = number == SIGTERM || number == SIGTRAP || number == SIGSYS;
    if (info->si_code <= 0 || is_over) kill(getpid(), number);
    errno = saved;
}

/* PHP and what it links call exit(3) when they are out of memory. */
static void on_exit_in_request(void) {
    if (pending->descriptor < 0 || getpid() != owner) return;
    if (!pending->has_begun) {
        pending->has_begun = true;
        answer("Status: 500 Internal Server Error\r\nContent-type: text/html; charset=UTF-8\r\n\r\n"
               "The script ended unexpectedly.\n");
    }
    announce(0);
}

int cepoll_answer_on_death(void) {
    static const int deadly[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS, SIGTERM};
    /* A script that has used up its stack leaves none for a handler. */
    void *memory = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return -1;
    stack_t stack = {.ss_sp = memory, .ss_size = STACK};
    if (sigaltstack(&stack, NULL) < 0) return -1;
    struct sigaction action = {.sa_sigaction = on_death, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof deadly / sizeof *deadly; i++)
        if (sigaction(deadly[i], &action, NULL) < 0) return -1;
    owner = getpid();
    return atexit(on_exit_in_request) == 0 ? 0 : -1;
}

int cepoll_script_token(uint64_t begin_ns) {
    int token = (int)((begin_ns >> 10) & 0x7fffffff);       /* microseconds, nearly */
    return token ? token : 1;
}

int cepoll_end_script(pid_t pid, uint64_t begin_ns) {
    union sigval value = {.sival_int = cepoll_script_token(begin_ns)};
    return sigqueue(pid, SIGRTMAX - 2, value);
}

int cepoll_terminate_late(pid_t pid) {
    union sigval value = {.sival_int = 1};
    return sigqueue(pid, SIGTERM, value);
}
