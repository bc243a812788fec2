/*
 * CEpoll - kernel calls and macros that Swift cannot import: packed unions (epoll_event), control
 * messages (CMSG_* macros), variadic calls, and calls glibc does not wrap (clone with CLONE_PARENT).
 *
 * Every function returns -1 and sets errno on failure unless it says otherwise. Descriptors are created
 * close-on-exec. Nothing here allocates or keeps state.
 */
#ifndef CEPOLL_H
#define CEPOLL_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#if defined(__clang__)
#pragma clang assume_nonnull begin
#endif

/* ---- epoll(7): epoll_event is a packed struct with a union ------------------------------------------ */

enum {
    CEPOLL_IN = 0x001,
    CEPOLL_OUT = 0x004,
    CEPOLL_ERR = 0x008,
    CEPOLL_HUP = 0x010,
    CEPOLL_RDHUP = 0x2000,
    CEPOLL_ONESHOT = 1 << 30,
};

typedef struct cepoll_ready {
    uint64_t data;      /* what was registered */
    uint32_t events;
} cepoll_ready;

int cepoll_create(void);
/* `exclusive` sets EPOLLEXCLUSIVE: of several waiting epoll instances only one is woken, the one that
   registered first among those that wait now. Such a registration cannot be modified, only removed. */
int cepoll_add(int epoll, int descriptor, uint32_t events, bool exclusive, uint64_t data);
int cepoll_modify(int epoll, int descriptor, uint32_t events, uint64_t data);
int cepoll_remove(int epoll, int descriptor);
/* Waits at most `timeout_ns` (negative: without limit); returns how many of `ready` were filled. */
int cepoll_wait(int epoll, cepoll_ready *ready, int capacity, int64_t timeout_ns);
/* One descriptor, poll(2): 0 on timeout, else the poll events. `timeout_ms` negative: without limit. */
int cepoll_poll_one(int descriptor, uint32_t events, int timeout_ms);

/* ---- signalfd(2), eventfd(2), memfd_create(2) ------------------------------------------------------- */

/* Blocks the listed signals and returns a non-blocking descriptor that reports them. */
int cepoll_signalfd(const int *signals, size_t count);
/* Reads one signal number: 0 when none is pending. */
int cepoll_signalfd_read(int descriptor);
int cepoll_eventfd(void);
/* Adds one; async-signal-safe; a full counter is not an error. */
void cepoll_eventfd_add(int descriptor);
/* A monotonic timer (timerfd_create(2)), not set. */
int cepoll_timer(void);
/* It is readable once so many nanoseconds (above 0) from now have passed. */
int cepoll_timer_set(int timer, uint64_t nanoseconds);
/* Whether they have passed; then it is not readable any more. */
bool cepoll_timer_take(int timer);
/* An empty anonymous file. */
int cepoll_memory_file(const char *name);
/* An anonymous file of `size` bytes that nobody can grow or shrink: a process that shares it cannot
   make another one fault. */
int cepoll_sealed_memory(const char *name, size_t size);

/* An empty anonymous file that can be sealed; and its sealing: nobody can write, grow or shrink it any more. */
int cepoll_sealable_memory(const char *name);
int cepoll_seal(int file);
/* Size of a file that came from elsewhere, if it is an anonymous one with all these seals: reading it neither waits
   nor fails. -1 for any other descriptor (EINVAL, EPERM), which is not touched. */
int64_t cepoll_sealed_size(int file);
/* pidfd_getfd(2): a duplicate of another process's descriptor. */
int cepoll_take_descriptor(int pidfd, int number);

/* ---- messages with descriptors (SCM_RIGHTS), SOCK_SEQPACKET ----------------------------------------- */

enum { CEPOLL_MAX_DESCRIPTORS = 4, CEPOLL_MOST_RECEIVED = 16 };

/* Both ends non-blocking; `buffer_bytes` > 0 asks for that send buffer on both (cepoll_send_buffer). */
int cepoll_seqpacket_pair(int ends[_Nonnull 2], int buffer_bytes);
/* Best effort (SO_SNDBUFFORCE first, then SO_SNDBUF): without it the socket queues less. The kernel doubles `bytes`, and
   calls a Unix socket writable while no more than a quarter of that is unsent (unix_writable, net/unix/af_unix.c). */
void cepoll_send_buffer(int socket, int bytes);
/* One message; never blocks, never raises SIGPIPE. ETOOMANYREFS: more descriptors of this user's are under way than the
   hard RLIMIT_NOFILE allows. */
ssize_t cepoll_send_message(int socket, const void *bytes, size_t length, const int *_Nullable descriptors,
                            size_t descriptor_count);
typedef struct cepoll_received {
    ssize_t length;                             /* bytes of the message */
    size_t descriptor_count;
    int descriptors[CEPOLL_MOST_RECEIVED];      /* owned by the caller; nothing is closed here, since that may wait */
    pid_t sender;                               /* from the kernel if SO_PASSCRED is set, else 0 */
    bool truncated;                             /* the bytes did not fit */
    bool descriptors_lost;                      /* some did not fit here, or this process has no more numbers */
} cepoll_received;
/* One message; 0 when received (length 0: the other end is closed). Blocks if `wait`. A peer that has closed with something
   unread is not an error before all it had sent has been received. */
int cepoll_receive_message(int socket, void *buffer, size_t capacity, bool wait, cepoll_received *received);
int cepoll_pass_credentials(int socket);

/* ---- sockets ---------------------------------------------------------------------------------------- */

typedef struct cepoll_address {
    uint8_t bytes[16];      /* network order; IPv4 in the first four */
    uint16_t port;          /* host order */
    uint8_t family;         /* 0: Unix or unknown, 4, 6 */
} cepoll_address;

/* accept4(2), non-blocking and close-on-exec; EINTR and ECONNABORTED are retried. */
int cepoll_accept(int listener, cepoll_address *_Nullable peer);
/* The same for a listener whose open file somebody hostile shares, who may have made it blocking: gives up with
   EAGAIN after a few milliseconds. Uses SIGALRM, whose disposition it sets. */
int cepoll_accept_bounded(int listener);
/* Whether a socket is connected, and if it is a Unix socket, not to a listener: all connections that are made to one have
   its name for their peer's. A client has none, or one that the kernel has made for it (unix(7), autobind). */
bool cepoll_was_accepted(int socket);
/* What a descriptor from outside is, which should be a stream socket, and not a listening one. Asks nothing that an
   arbitrary descriptor could make block or fail loudly. A Unix connection must have been accepted: at the other end of one
   that somebody has made is a service to which the kernel would say that what is sent is root's (SO_PASSCRED). */
typedef enum { CEPOLL_NO_STREAM, CEPOLL_LOCAL_STREAM, CEPOLL_NETWORK_STREAM } cepoll_stream_kind;
cepoll_stream_kind cepoll_stream(int descriptor);
/* Whether a message waits in a Unix socket, be it one with descriptors and no byte; that is left there. */
bool cepoll_holds_message(int socket);
/* Whether it is a Unix socket, of any type. */
bool cepoll_is_local_socket(int descriptor);
static inline bool cepoll_is_stream_socket(int descriptor) { return cepoll_stream(descriptor) != CEPOLL_NO_STREAM; }
/* What other processes have put into a Unix socket goes with the message that brings it, and with the socket that is
   closed unread. If that is the last of a TCP socket with SO_LINGER, the kernel waits for its peer in the process
   that received or closed: for as long as whoever sent it likes. A signal ends that. Between these two calls nothing
   waits longer than `us` microseconds at a time. Calls nest; the outermost pair sets the time and pays for the timer.
   Uses SIGALRM, whose disposition it sets. */
void cepoll_bound_waiting(unsigned us);
void cepoll_unbound_waiting(void);
/* close(2) of a stream socket of the network, bounded; SO_LINGER is taken off first, so that it usually does not wait at
   all. A Unix socket does not mind the option (cepoll_close_bounded). */
void cepoll_close_connection(int socket);
/* close(2) of any other socket that somebody hostile can send to, bounded. */
void cepoll_close_bounded(int descriptor);
/* recv(2) without blocking, bounded. */
ssize_t cepoll_receive_bounded(int socket, void *buffer, size_t capacity);
/* getpeername(2) in the same shape; 0 or -1. */
int cepoll_peer(int socket, cepoll_address *peer);
/* Listening Unix socket: mode applied by umask around bind(2), so that no wider mode ever exists. */
int cepoll_listen_unix(const char *path, size_t path_length, unsigned mode, int backlog);
/* Owner of a socket file that this process has just bound: only if the path still names a socket of its own (whoever
   may write the directory can put a link there). A uid or gid of -1 stays. */
int cepoll_own_socket(const char *path, uid_t uid, gid_t gid);
/* Executes `path` in place of this process, with the arguments that cepoll_prepare_title has kept; returns if it cannot. */
int cepoll_become_program(const char *path);
/* Whether a descriptor is still open after that. */
int cepoll_survive_exec(int descriptor, bool survives);
/* Which file a path names, links followed, and in which state it is. */
typedef struct cepoll_file {
    uint64_t device, inode;
    int64_t size, modified_ns;
} cepoll_file;
int cepoll_file_identity(const char *path, cepoll_file *file);
/* Free memory goes back to the kernel. */
void cepoll_give_memory_back(void);
/* Which file a path names, a link at its end not followed. */
int cepoll_path_identity(const char *path, uint64_t *device, uint64_t *inode);
/* A descriptor (O_PATH) for the socket file of that identity; ESTALE if the path names something else now. */
int cepoll_known_socket_path(const char *path, uint64_t device, uint64_t inode);
/* Whether the path, links not followed, names the socket file of that identity. */
bool cepoll_names_socket(const char *path, uint64_t device, uint64_t inode);
/* Owner and mode of the socket file behind such a descriptor. */
int cepoll_change_socket(int handle, uid_t uid, gid_t gid, unsigned mode);
/* The same check; a descriptor (O_PATH) through which /proc/self/fd names the socket itself. */
int cepoll_socket_path(const char *path);
/* A file of this process's own: removed if it is there, created anew, links never followed. */
int cepoll_create_file(const char *path, unsigned mode);
/* Bytes sent into a socket that its peer has not taken (SIOCOUTQ). */
int cepoll_unsent(int socket);
/* 1 if something accepts connections at the path, 0 if not. */
int cepoll_unix_in_use(const char *path, size_t path_length);
/* Listening TCP socket on a numeric address. A connection comes with its first bytes, or after a second without any
   (TCP_DEFER_ACCEPT): nobody is woken to wait for them. */
int cepoll_listen_tcp(const cepoll_address *address, int backlog);
/* getaddrinfo(3), stream sockets: how many of `found` were filled, or -1 with the text of gai_strerror. */
int cepoll_resolve(const char *host, uint16_t port, cepoll_address *found, int capacity,
                   const char *_Nullable *_Nonnull error);
/* Makes an inherited listening socket non-blocking and close-on-exec; fails if it is anything else. */
int cepoll_adopt_listener(int descriptor);
/* F_GETFD: descriptor flags, or -1 if it is not open. */
int cepoll_descriptor_flags(int descriptor);
/* The kernel's accept queue of a TCP listener (TCP_INFO): 0 or -1. */
int cepoll_tcp_queue(int listener, unsigned *queued, unsigned *limit);
/* A netlink socket for sock_diag(7); and a Unix listener's accept queue by it: 0 or -1. */
int cepoll_diag_socket(void);
int cepoll_unix_queue(int diag, int listener, unsigned *queued, unsigned *limit);
/* Whether whoever is at the other end cannot take an answer any more. With TCP that is also taken from one that
   sends no more (half-closed), as web servers do. Never waits. */
bool cepoll_peer_is_gone(int socket, bool is_tcp);
/* The address a listening socket is bound to, in php-fpm's spelling of FPM_SOCKETS ("127.0.0.1:9000",
   ":::9000", "/path"), and "@name" in the abstract namespace; its length, or -1. */
int cepoll_bound_name(int socket, char *buffer, size_t capacity);
/* Text of an address (inet_ntop; IPv4-mapped shown as IPv4); its length. */
int cepoll_address_text(const cepoll_address *address, char *buffer, size_t capacity);
/* inet_pton: true if `text` is an IPv4 or IPv6 address. */
bool cepoll_parse_address(const char *text, cepoll_address *address);

/* Who connected a Unix socket (SO_PEERCRED); and whether that process was in a group then (SO_PEERGROUPS). */
int cepoll_peer_credentials(int socket, pid_t *pid, uid_t *uid, gid_t *gid);
bool cepoll_peer_in_group(int socket, gid_t group);
/* A non-blocking stream socket connected to a path; EAGAIN when its backlog is full. */
int cepoll_connect_unix(const char *path, size_t path_length);

/* ---- processes -------------------------------------------------------------------------------------- */

/* fork(2) whose child belongs to the caller's parent (CLONE_PARENT), so that the master reaps it. The
   caller must have one thread; atfork handlers do not run. */
pid_t cepoll_fork_sibling(void);
/* fork(2), which Swift does not import. */
pid_t cepoll_fork(void);
/* Closes a descriptor of this process in a helper that shares its descriptors: whatever that close waits for, this
   process does not. Returns the helper's pid; -1 if there is none, and the descriptor is still open. */
pid_t cepoll_close_elsewhere(int descriptor);
/* fork(2) for a task that may block: the new process is killed when this one ends. */
pid_t cepoll_fork_helper(void);
/* A descriptor of a process, and whether the process has not ended yet. */
int cepoll_pidfd(pid_t pid);
bool cepoll_pidfd_is_alive(int pidfd);
/* Reads all of `length` bytes of another process's memory (process_vm_readv(2)) without stopping it; 0 or -1. */
int cepoll_read_memory(pid_t pid, uint64_t address, void *buffer, size_t length);
/* Lets processes of the same user read this one's memory where Yama would allow that to ancestors only. */
void cepoll_allow_tracing(void);
/* Number of threads of this process. */
int cepoll_thread_count(void);
/* Starts `path` with `descriptors[i]` as descriptor number i (close-on-exec lifted; at most 32), nothing else open
   beyond those that are not close-on-exec; signal mask empty and all dispositions default. Returns the
   pid. `file_limit` > 0 sets the soft RLIMIT_NOFILE in the new process, `niceness` is added to its nice value; `uid` and
   `gid` other than 0 are taken there, without supplementary groups. */
pid_t cepoll_spawn(const char *path, char *const _Nullable *_Nonnull argv, char *const _Nullable *_Nonnull envp,
                   const int *descriptors, size_t descriptor_count, uint64_t file_limit, int niceness, uid_t uid,
                   gid_t gid);
/* Decoded wait status. */
typedef struct cepoll_exit {
    pid_t pid;
    bool signaled;
    bool core_dumped;
    int code;               /* exit code or signal number */
} cepoll_exit;
/* waitpid(2) for any child, without waiting: 1 reaped, 0 none has ended, -1 (ECHILD: no child). */
int cepoll_reap(cepoll_exit *ended);
/* True if `pid` is a child of this process (dead or alive); reaps nothing. */
bool cepoll_is_child(pid_t pid);
/* sigabbrev_np(3): "TERM" for SIGTERM, constant text of libc's; NULL for a number without a name. */
const char *_Nullable cepoll_signal_abbreviation(int number);

/* Remembers the argv/environ area so that cepoll_set_title can write there; moves environ to the heap. */
void cepoll_prepare_title(int argc, char *_Nullable *_Nonnull argv);
void cepoll_set_title(const char *title);

/* All signals back to their defaults and the mask empty; SIGPIPE ignored. */
void cepoll_reset_signals(void);
/* Default disposition for every signal except SIGPIPE (ignored); the mask is left alone. */
void cepoll_default_dispositions(void);
void cepoll_ignore_signals(const int *signals, size_t count);
/* Worker: SIGQUIT adds to `eventfd` and sets the flag; system calls are restarted. */
void cepoll_drain_on_quit(int eventfd);
bool cepoll_drain_requested(void);
/* Sets the flag as SIGQUIT does, and interrupts nothing. */
void cepoll_request_drain(void);
/* What a dying process owes its client. */
typedef struct cepoll_pending {
    volatile int descriptor;        /* -1: nobody waits for an answer */
    volatile uint16_t request_id;
    volatile bool has_begun;        /* a part of the answer has been sent: nothing can be added */
} cepoll_pending;
cepoll_pending *cepoll_pending_answer(void);
/* Uses this memory for it from now on: the size of cepoll_pending, shared with who looks when the process has died. */
void cepoll_share_pending_answer(void *memory);
/* Worker: dying by SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS, SIGTERM or exit(3) it first answers the request it serves, if
   nothing has been sent: 500; 504 after cepoll_terminate_late; 503 after another SIGTERM. It dies all the same. */
int cepoll_answer_on_death(void);
/* Worker: dying by such a signal other than SIGTERM, or by exit(3) in a request, it then sends `message`, 24 bytes whose
   last eight become the number of the signal (0: exit), on `channel`, and waits until cepoll_let_die, at most 200 ms:
   its memory can be read meanwhile. `word` is shared with whoever calls that. */
void cepoll_announce_death(int channel, const void *message, uint32_t *word);
void cepoll_let_die(uint32_t *word);
/* SIGTERM because a request took too long. */
int cepoll_terminate_late(pid_t pid);
/* The signal and value that end the script of a request, whose begin on the monotonic clock is known: CPHP's soft.c. */
int cepoll_end_script(pid_t pid, uint64_t begin_ns);
int cepoll_script_token(uint64_t begin_ns);
/* Blocks `signals`; unblocks all. */
void cepoll_block_signals(const int *signals, size_t count);
void cepoll_unblock_all_signals(void);

/* ---- identity and limits ---------------------------------------------------------------------------- */

/* setgid (if gid != 0), then initgroups and setuid (if uid != 0), as php-fpm; afterwards root cannot be
   regained. Without a name the supplementary groups are dropped, unless they were set before. 0, or -1 with *step naming the call. */
int cepoll_become(uid_t uid, gid_t gid, const char *_Nullable name, bool groups_are_set,
                  const char *_Nonnull *_Nonnull step);
/* The same, for good, but for one capability: CAP_SYS_CHROOT, which cepoll_drop_capabilities takes away. */
int cepoll_become_keeping_chroot(uid_t uid, gid_t gid, const char *_Nullable name,
                                 const char *_Nonnull *_Nonnull step);
int cepoll_drop_capabilities(void);
/* RLIMIT_NOFILE/RLIMIT_CORE, soft = hard. Files: a negative number is more than the kernel allows anybody (EPERM), as
   php-fpm's is. `core`: -1 is unlimited. */
int cepoll_set_file_limit(int64_t limit);
int cepoll_set_core_limit(int64_t limit);
/* Raises the soft RLIMIT_NOFILE to the hard one; returns the former soft limit, the new one in *now. */
uint64_t cepoll_raise_file_limit(uint64_t *now);
/* The hard RLIMIT_NOFILE of this process. */
uint64_t cepoll_hard_file_limit(void);
/* chroot(2) and chdir into it. */
int cepoll_change_root(const char *path);
/* unsets every variable: clearenv(3). */
/* AppArmor: opens this process's confinement, before a chroot hides it; then switches to the hat CURRENT//`hat`.
   -1 with `step` naming what failed. */
int cepoll_open_confinement(void);
int cepoll_confine(int file, const char *hat, const char *_Nonnull *_Nonnull step);
void cepoll_clear_environment(void);
int cepoll_set_priority(int priority);
/* Gives another process this one's nice value; 0 or -1. */
int cepoll_share_priority(pid_t pid);
/* Whether a nice value that has been raised can be lowered again (CAP_SYS_NICE). */
bool cepoll_may_raise_priority(void);
int cepoll_set_dumpable(bool dumpable);

/* ---- time ------------------------------------------------------------------------------------------- */

uint64_t cepoll_monotonic_ns(void);
int64_t cepoll_realtime_s(void);
/* Microseconds since the epoch. */
int64_t cepoll_realtime_us(void);
/* strftime(3) of local time in the C locale; length, 0 when it does not fit. */
size_t cepoll_format_time(const char *format, int64_t seconds, char *buffer, size_t capacity);
/* Clock ticks used by this process and its ended children: times(2). */
typedef struct cepoll_cpu { int64_t user, system; } cepoll_cpu;
void cepoll_cpu_ticks(cepoll_cpu *used);
int64_t cepoll_ticks_per_second(void);
/* Nanoseconds of processor time that a process has used (clock_getcpuclockid(3)); 0 if there is none. */
uint64_t cepoll_processor_time(pid_t process);
/* Whether a process waits for anything but a processor (state S or D of proc_pid_stat(5)). */
bool cepoll_process_sleeps(pid_t process);
/* How many processors this process may run on (sched_getaffinity(2)); at least 1. */
int cepoll_processors(void);

/* What this process uses. */
typedef struct cepoll_usage {
    uint64_t cpu_us;                /* user and system time */
    uint64_t resident;              /* bytes */
    uint64_t virtual_size;          /* bytes */
    uint64_t start_centiseconds;    /* since the epoch */
    uint64_t open_files;            /* descriptors; 0: unknown */
} cepoll_usage;
int cepoll_own_usage(cepoll_usage *usage);

/* Gives back the whole pages of allocated memory whose content is not needed; they are zero when they are used again. */
void cepoll_release_pages(void *start, size_t length);

/* What the kernel says of this process's memory; -1 for what cannot be opened. Opened before the identity changes or the
   root does, it can be read afterwards. A forked process must close its copy: it speaks of the parent. */
typedef struct cepoll_memory { int maps, pagemap; } cepoll_memory;
void cepoll_open_memory(cepoll_memory *memory);
void cepoll_close_memory(cepoll_memory *memory);
/* Gives back what is mapped or allocated and not in use: free heap, and pages of program files, which come back from the
   page cache when they are needed. A page that somebody has written to stays: relocations, data, code that an
   extension has changed. For a process with one thread. Returns the bytes of such pages. */
size_t cepoll_release_memory(const cepoll_memory *memory);

/* ---- command line: getopt_long(3) keeps its state in globals that Swift 6 does not touch ------------ */

typedef struct cepoll_option {
    const char *name;       /* long name */
    char letter;            /* its short form */
    bool has_argument;
} cepoll_option;

enum { CEPOLL_OPTIONS_END = -1, CEPOLL_OPTION_BAD = -2 };
/* The next option's letter, its argument in *value; CEPOLL_OPTIONS_END at the first word that is none (its
   index in *position), CEPOLL_OPTION_BAD for an unknown one or a missing argument. Long names must be complete;
   an argument after "=" is dropped where none is expected, and taken without the "=" in the form -x=VALUE. */
int cepoll_next_option(int argc, char *_Nullable *_Nonnull argv, const cepoll_option *options, size_t count,
                       const char *_Nullable *_Nonnull value, int *position);

/* ---- files ------------------------------------------------------------------------------------------ */

/* open(2) with mode 0600 for appending, close-on-exec, non-blocking (which only pipes and terminals notice).
   A path of an own descriptor (/proc/self/fd/2, /dev/stderr) that cannot be opened is duplicated, and stays blocking. */
int cepoll_open_append(const char *path);
/* Sets close-on-exec on all descriptors from `first` up to (not including) `end`. */
void cepoll_close_on_exec(int first, int end);
int cepoll_duplicate(int descriptor);       /* F_DUPFD_CLOEXEC, 3 or higher */
/* Whether this process may have two more descriptors, tried with duplicates of this one. */
bool cepoll_has_two_numbers(int descriptor);
int cepoll_set_nonblocking(int descriptor);
/* openlog(3) with a copy of `ident` that stays. */
void cepoll_open_syslog(const char *ident, int facility);
/* A non-blocking datagram socket connected to /dev/log. */
int cepoll_connect_log(void);
/* What a descriptor is, as far as writing to it may wait: st_mode's macros are not imported. */
typedef enum cepoll_file_kind { CEPOLL_KIND_FILE, CEPOLL_KIND_SOCKET, CEPOLL_KIND_OTHER } cepoll_file_kind;
cepoll_file_kind cepoll_kind(int descriptor);
/* The same pipe or terminal once more for writing, O_NONBLOCK on the new open file only. */
int cepoll_reopen_nonblocking(int descriptor);
int cepoll_replace(int descriptor, int target);   /* dup3(2), close-on-exec */
int cepoll_open_null(void);                 /* /dev/null, for reading and writing */
int cepoll_pipe(int ends[_Nonnull 2]);      /* O_CLOEXEC; the read end is non-blocking */
int cepoll_blocking_pipe(int ends[_Nonnull 2]);

#if defined(__clang__)
#pragma clang assume_nonnull end
#endif
#endif
