/*
 * CScoreboard - the layout of the shared pages of one pool, and the atomics to read and write them.
 *
 * One page for the pool, then one page per slot. The pool page is written by the master except for the counters
 * marked "workers" and `keeper_asleep`, which both change; a slot is written by the worker that owns it, but for what
 * is marked "the master" and the places for shared connections, which both change; the master zeroes it before it is
 * given away. A worker may write anything it likes here: readers clamp, and the master takes no pointer, index, length
 * or pid from these pages.
 *
 * Text is guarded by a sequence number (odd while being written); a reader that does not get a stable copy
 * after a few tries shows what it has. All other fields are single atomic words.
 */
#ifndef CSCOREBOARD_H
#define CSCOREBOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__clang__)
#pragma clang assume_nonnull begin
#endif

enum { CSCOREBOARD_PAGE = 4096 };

typedef enum cscoreboard_stage {
    CSCOREBOARD_FREE = 0,           /* no worker, or not ready yet */
    CSCOREBOARD_ACCEPTING = 1,      /* idle */
    CSCOREBOARD_READING = 2,
    CSCOREBOARD_INFO = 3,
    CSCOREBOARD_EXECUTING = 4,
    CSCOREBOARD_ENDING = 5,
    CSCOREBOARD_FINISHED = 6,
} cscoreboard_stage;

/* Durations by size: bucket i counts those of at most 2^(7 + i) microseconds that no bucket before counts, the
   last one the rest. One writer; log2, so that counting costs a few instructions. */
enum { CSCOREBOARD_BUCKETS = 22, CSCOREBOARD_FIRST_BUCKET_LOG2 = 7 };
typedef struct cscoreboard_histogram {
    int64_t counts[CSCOREBOARD_BUCKETS];
    int64_t sum_us;
} cscoreboard_histogram;

/* Why a worker leaves by itself, as it says. */
typedef enum cscoreboard_leaving {
    CSCOREBOARD_STAYS = 0,
    CSCOREBOARD_LEAVES_MAX_REQUESTS = 1,
    CSCOREBOARD_LEAVES_MAX_MEMORY = 2,
    CSCOREBOARD_LEAVES_SPOILT = 3,      /* a request changed the process for good */
} cscoreboard_leaving;

/* Connections that a worker holds idle beside others at most, and what is in a place for one. The first places are
   filled by the worker, the others by the master. */
enum { CSCOREBOARD_OWN_PLACES = 16, CSCOREBOARD_PLACES = 32, CSCOREBOARD_LAST_SHARING = 0x3fffffff };
typedef enum cscoreboard_sharing {
    CSCOREBOARD_NOTHING = 0,
    CSCOREBOARD_IDLE = 1,           /* the worker watches it */
    CSCOREBOARD_BUSY = 2,           /* the worker serves it */
    CSCOREBOARD_TAKEN = 3,          /* the master has taken it, or keeps no duplicate any more */
} cscoreboard_sharing;

/* Kinds of workers' ends that the pool page counts; see `WorkerExitCause`. */
enum { CSCOREBOARD_EXIT_CAUSES = 16 };

typedef struct cscoreboard_pool {
    int64_t start_epoch;
    uint32_t leaves_listener;       /* the service stops, and whoever comes next gets the listener */
    uint32_t max_children;          /* pm.max_children; there may be more slots */
    uint32_t closes_kept;           /* nobody comes next who would take kept connections */
    uint32_t keeper_asleep;         /* the master sets it, the worker that wakes it takes it away */
    int64_t retired_requests;       /* master: requests of slots that were zeroed */
    int64_t fetches;                /* master: not 0 if it may fetch descriptors from workers, see cscoreboard_hide_place */
    int64_t listen_queue, max_listen_queue, listen_queue_len;
    int64_t max_children_reached, slow_requests;
    int64_t active;                 /* workers: requests in progress */
    int64_t max_active;             /* workers: the most there were */
    int64_t taken;                  /* workers: connections taken from the queue */
    uint64_t last_long_ns;          /* workers: monotonic; end of the latest request that took 15 ms or more */
    /* The master: its queue of requests that wait for a worker (ARCHITECTURE.md, "The queue"). */
    int64_t queue_depth;            /* requests in it now */
    uint64_t queue_oldest_ns;       /* monotonic; arrival of the one that has waited longest; 0: none waits */
    int64_t queue_passed;           /* requests that went through it to a worker */
    int64_t queue_rejected;         /* answered 503 because of pm.max_queue */
    int64_t queue_expired;          /* answered 503 because of pm.queue_timeout */
    int64_t queue_abandoned;        /* dropped because the client had gone */
    int64_t queue_wait_us;          /* sum over those that passed of the time they waited */
    int64_t saturations;            /* how often all workers have been busy while requests waited */
    uint64_t saturated_since_ns;    /* monotonic; 0: not now */
    /* The master: responses that it sends to slow readers. */
    int64_t drains, drain_bytes;    /* under way, and what is left of them */
    int64_t drained;                /* complete */
    /* The master. */
    cscoreboard_histogram queue_wait;       /* of requests that waited in the queue */
    cscoreboard_histogram retired_service;  /* of slots that were zeroed */
    int64_t exits[CSCOREBOARD_EXIT_CAUSES]; /* ends of workers, by cause */
} cscoreboard_pool;

typedef struct cscoreboard_slot {
    uint32_t sequence;
    uint32_t stage;
    int64_t pid;
    int64_t start_epoch;
    uint64_t idle_since_ns;         /* monotonic; when it last went to sleep */
    int64_t requests;
    uint64_t accepted_ns;           /* monotonic; begin of the current or last request */
    int64_t accepted_epoch;
    int64_t duration_us;            /* of the last request */
    int64_t content_length;
    int64_t cpu_ticks;              /* used by the last request */
    int64_t memory_peak;            /* bytes, of the last request */
    int64_t work_squares;           /* sum over the requests: squares of their microseconds of processor time */
    cscoreboard_histogram service;  /* of this worker's requests */
    uint32_t leaving;               /* cscoreboard_leaving */
    uint32_t dying;                 /* the worker dies, and waits until its stack has been read and this is 0 */
    /* What the worker owes a client: has the layout of cepoll_pending. */
    int32_t pending_descriptor;
    uint16_t pending_request_id;
    bool pending_begun;
    uint64_t kept_ns;               /* the master: begin of the request whose connection it has a duplicate of, or 0 */
    uint32_t rests;                 /* the master: cscoreboard_resting */
    uint32_t shared_taken;          /* the master sets it when it has taken shared connections, the worker takes it away */
    uint32_t shared[CSCOREBOARD_PLACES];    /* see cscoreboard_sharing */
    int32_t place_descriptors[CSCOREBOARD_OWN_PLACES];  /* what is in the places that are unannounced */
    uint32_t unannounced;           /* a bit for each of the worker's own places: the master has no duplicate */
    uint32_t held;                  /* idle connections in the worker's hands */
    uint32_t deposited;             /* the worker: the master finds the connection of its request when the worker is dead */
    /* under `sequence`; NUL-terminated */
    char method[16];
    char uri[128];
    char query[512];
    char user[32];
    char script[256];
} cscoreboard_slot;

_Static_assert(sizeof(cscoreboard_pool) <= CSCOREBOARD_PAGE && sizeof(cscoreboard_slot) <= CSCOREBOARD_PAGE, "a page each");
_Static_assert(offsetof(cscoreboard_slot, pid) == 8 && offsetof(cscoreboard_pool, retired_requests) == 24, "no padding");

static inline int64_t cscoreboard_load(const int64_t *field) { return __atomic_load_n(field, __ATOMIC_RELAXED); }
static inline void cscoreboard_store(int64_t *field, int64_t value) { __atomic_store_n(field, value, __ATOMIC_RELAXED); }
static inline uint64_t cscoreboard_load_time(const uint64_t *field) { return __atomic_load_n(field, __ATOMIC_RELAXED); }
static inline void cscoreboard_store_time(uint64_t *field, uint64_t value) { __atomic_store_n(field, value, __ATOMIC_RELAXED); }
static inline uint32_t cscoreboard_load_word(const uint32_t *field) { return __atomic_load_n(field, __ATOMIC_ACQUIRE); }
static inline void cscoreboard_store_word(uint32_t *field, uint32_t value) { __atomic_store_n(field, value, __ATOMIC_RELEASE); }

/* The bucket of a duration. */
static inline unsigned cscoreboard_bucket(int64_t us) {
    uint64_t most = us > 1 ? (uint64_t)us - 1 : 1;
    int width = 64 - __builtin_clzll(most) - CSCOREBOARD_FIRST_BUCKET_LOG2;
    return width <= 0 ? 0 : width < CSCOREBOARD_BUCKETS ? (unsigned)width : CSCOREBOARD_BUCKETS - 1;
}
/* Counts a duration; only the histogram's writer calls this. */
static inline void cscoreboard_record(cscoreboard_histogram *histogram, int64_t us) {
    int64_t *count = &histogram->counts[cscoreboard_bucket(us)];
    __atomic_store_n(count, (int64_t)((uint64_t)*count + 1), __ATOMIC_RELAXED);
    __atomic_store_n(&histogram->sum_us, (int64_t)((uint64_t)histogram->sum_us + (uint64_t)us), __ATOMIC_RELAXED);
}
/* Shows a histogram that its writer keeps elsewhere. */
static inline void cscoreboard_publish_histogram(cscoreboard_histogram *shown, const cscoreboard_histogram *kept) {
    for (unsigned bucket = 0; bucket < CSCOREBOARD_BUCKETS; bucket++)
        __atomic_store_n(&shown->counts[bucket], kept->counts[bucket], __ATOMIC_RELAXED);
    __atomic_store_n(&shown->sum_us, kept->sum_us, __ATOMIC_RELAXED);
}
/* Fields of arrays, which Swift sees as tuples; an index that is out of range is the caller's bug, and traps. */
static inline int64_t *cscoreboard_count(const cscoreboard_histogram *histogram, unsigned bucket) {
    if (bucket >= CSCOREBOARD_BUCKETS) __builtin_trap();
    return (int64_t *)&histogram->counts[bucket];
}
static inline int64_t *cscoreboard_exits(const cscoreboard_pool *pool, unsigned cause) {
    if (cause >= CSCOREBOARD_EXIT_CAUSES) __builtin_trap();
    return (int64_t *)&pool->exits[cause];
}

/* A request begins or ends: keeps `active` and its maximum. */
static inline void cscoreboard_request_begins(cscoreboard_pool *pool) {
    int64_t now = __atomic_add_fetch(&pool->active, 1, __ATOMIC_RELAXED);
    int64_t most = __atomic_load_n(&pool->max_active, __ATOMIC_RELAXED);
    while (now > most &&
           !__atomic_compare_exchange_n(&pool->max_active, &most, now, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
}
/* Sequentially consistent: what the worker wrote before about the client it serves is seen by a master that keeps the
   connection, or the worker sees that in cscoreboard_is_kept. */
static inline void cscoreboard_request_ends(cscoreboard_pool *pool) { __atomic_sub_fetch(&pool->active, 1, __ATOMIC_SEQ_CST); }

/* The master stops to look at what workers do; they tell it when a request begins: one of them, once. */
static inline void cscoreboard_keeper_sleeps(cscoreboard_pool *pool) { __atomic_store_n(&pool->keeper_asleep, 1, __ATOMIC_SEQ_CST); }
static inline void cscoreboard_keeper_is_awake(cscoreboard_pool *pool) { __atomic_store_n(&pool->keeper_asleep, 0, __ATOMIC_RELAXED); }
/* After the slot's stage says so: the fence orders that before the load, as the master's store is before its look. */
static inline bool cscoreboard_wakes_keeper(cscoreboard_pool *pool) {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return __atomic_load_n(&pool->keeper_asleep, __ATOMIC_RELAXED) && __atomic_exchange_n(&pool->keeper_asleep, 0, __ATOMIC_RELAXED);
}

typedef struct cscoreboard_debt {
    int32_t descriptor;
    uint16_t request_id;
    bool begun;
} cscoreboard_debt;
static inline cscoreboard_debt cscoreboard_pending(const cscoreboard_slot *slot) {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return (cscoreboard_debt){__atomic_load_n(&slot->pending_descriptor, __ATOMIC_RELAXED),
                              __atomic_load_n(&slot->pending_request_id, __ATOMIC_RELAXED),
                              *(const volatile uint8_t *)&slot->pending_begun != 0};
}
static inline void *cscoreboard_pending_memory(cscoreboard_slot *slot) { return &slot->pending_descriptor; }
static inline uint32_t *cscoreboard_dying(cscoreboard_slot *slot) { return &slot->dying; }
static inline void cscoreboard_keep(cscoreboard_slot *slot, uint64_t begin) { __atomic_store_n(&slot->kept_ns, begin, __ATOMIC_SEQ_CST); }
/* After cscoreboard_request_ends, or with a fence of its own. */
static inline bool cscoreboard_is_kept(const cscoreboard_slot *slot) { return __atomic_load_n(&slot->kept_ns, __ATOMIC_SEQ_CST) != 0; }
static inline bool cscoreboard_is_kept_now(const cscoreboard_slot *slot) {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return cscoreboard_is_kept(slot);
}

/* The master has a duplicate of each connection that a worker holds idle beside others, and may take it: when the worker is
   busy for long, or dies. A word for each place in the worker's hands: what is in it, and above that the number of the
   sharing, so that neither acts upon what was there before. */
static inline uint32_t cscoreboard_place(uint32_t sharing, cscoreboard_sharing state) { return sharing << 2 | (uint32_t)state; }
/* False: the place is in another state. An index that is out of range is the caller's bug, and traps. */
static inline bool cscoreboard_change_place(cscoreboard_slot *slot, unsigned place, uint32_t sharing,
                                            cscoreboard_sharing from, cscoreboard_sharing to) {
    if (place >= CSCOREBOARD_PLACES) __builtin_trap();
    uint32_t expected = cscoreboard_place(sharing, from);
    return __atomic_compare_exchange_n(&slot->shared[place], &expected, cscoreboard_place(sharing, to), false,
                                       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}
/* Only for a place that the other side cannot know yet. */
static inline void cscoreboard_set_place(cscoreboard_slot *slot, unsigned place, uint32_t sharing, cscoreboard_sharing state) {
    if (place >= CSCOREBOARD_PLACES) __builtin_trap();
    __atomic_store_n(&slot->shared[place], cscoreboard_place(sharing, state), __ATOMIC_SEQ_CST);
}
/* The worker keeps a connection in one of its own places of which the master has no duplicate, as it may never have another
   request. A master that has to take it asks the kernel for the descriptor first, and changes the place then: if it can, the
   descriptor was that connection's. Hidden before the place is set; shown when the master has a duplicate, or the place is
   given up. */
static inline void cscoreboard_hide_place(cscoreboard_slot *slot, unsigned place, int32_t descriptor) {
    if (place >= CSCOREBOARD_OWN_PLACES) __builtin_trap();
    __atomic_store_n(&slot->place_descriptors[place], descriptor, __ATOMIC_RELAXED);
    __atomic_or_fetch(&slot->unannounced, 1u << place, __ATOMIC_SEQ_CST);
}
static inline void cscoreboard_show_place(cscoreboard_slot *slot, unsigned place) {
    if (place >= CSCOREBOARD_OWN_PLACES) __builtin_trap();
    __atomic_and_fetch(&slot->unannounced, ~(1u << place), __ATOMIC_SEQ_CST);
}
typedef struct cscoreboard_unannounced {
    bool is_idle;
    uint32_t sharing;
    int32_t descriptor;
} cscoreboard_unannounced;
static inline cscoreboard_unannounced cscoreboard_unannounced_in(const cscoreboard_slot *slot, unsigned place) {
    if (place >= CSCOREBOARD_OWN_PLACES) __builtin_trap();
    bool is_hidden = (__atomic_load_n(&slot->unannounced, __ATOMIC_SEQ_CST) & 1u << place) != 0;
    uint32_t word = __atomic_load_n(&slot->shared[place], __ATOMIC_SEQ_CST);
    return (cscoreboard_unannounced){is_hidden && (word & 3) == CSCOREBOARD_IDLE, word >> 2,
                                     __atomic_load_n(&slot->place_descriptors[place], __ATOMIC_RELAXED)};
}
static inline void cscoreboard_shared_were_taken(cscoreboard_slot *slot) { __atomic_store_n(&slot->shared_taken, 1, __ATOMIC_SEQ_CST); }
static inline bool cscoreboard_were_shared_taken(cscoreboard_slot *slot) {
    return __atomic_load_n(&slot->shared_taken, __ATOMIC_RELAXED) && __atomic_exchange_n(&slot->shared_taken, 0, __ATOMIC_SEQ_CST);
}

typedef enum {
    CSCOREBOARD_LISTENS,            /* waits at the listener and the pool's queue */
    CSCOREBOARD_RESTS,              /* waits at the queue only */
    CSCOREBOARD_RESTS_FROM_ALL,     /* waits at neither */
} cscoreboard_resting;

/* The master has a worker rest, or listen. The worker looks after it has shown that it accepts, the master looks at that
   after it has written: either it sees a worker that has to be woken, or the worker sees what was written. */
static inline void cscoreboard_rest(cscoreboard_slot *slot, cscoreboard_resting what) {
    __atomic_store_n(&slot->rests, (uint32_t)what, __ATOMIC_SEQ_CST);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
static inline cscoreboard_resting cscoreboard_resting_of(const cscoreboard_slot *slot) {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return (cscoreboard_resting)__atomic_load_n(&slot->rests, __ATOMIC_RELAXED);
}

static inline void cscoreboard_connection_taken(cscoreboard_pool *pool) { __atomic_add_fetch(&pool->taken, 1, __ATOMIC_RELAXED); }

static inline void cscoreboard_set_text(char *field, size_t size, const char *_Nullable text, size_t length) {
    size_t count = text ? (length < size - 1 ? length : size - 1) : 0;
    if (count) memcpy(field, text, count);
    field[count] = 0;
}

/* Opens and closes the guarded part of a slot; only its owner calls these. */
static inline void cscoreboard_text_begin(cscoreboard_slot *slot) {
    __atomic_store_n(&slot->sequence, slot->sequence + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
}
static inline void cscoreboard_text_end(cscoreboard_slot *slot) {
    __atomic_store_n(&slot->sequence, slot->sequence + 1, __ATOMIC_RELEASE);
}

typedef struct cscoreboard_bytes {
    const char *_Nullable text;
    size_t length;
} cscoreboard_bytes;

/* Shows a request; only the slot's owner calls this. Longer text is cut. */
static inline void cscoreboard_publish(cscoreboard_slot *slot, cscoreboard_bytes method, cscoreboard_bytes uri,
                                       cscoreboard_bytes query, cscoreboard_bytes user, cscoreboard_bytes script) {
    cscoreboard_text_begin(slot);
    cscoreboard_set_text(slot->method, sizeof slot->method, method.text, method.length);
    cscoreboard_set_text(slot->uri, sizeof slot->uri, uri.text, uri.length);
    cscoreboard_set_text(slot->query, sizeof slot->query, query.text, query.length);
    cscoreboard_set_text(slot->user, sizeof slot->user, user.text, user.length);
    cscoreboard_set_text(slot->script, sizeof slot->script, script.text, script.length);
    cscoreboard_text_end(slot);
}

/* The user becomes known later than the rest. */
static inline void cscoreboard_publish_user(cscoreboard_slot *slot, cscoreboard_bytes user) {
    cscoreboard_text_begin(slot);
    cscoreboard_set_text(slot->user, sizeof slot->user, user.text, user.length);
    cscoreboard_text_end(slot);
}

/* The texts of a slot (or of a copy), as pointers that Swift can read: C arrays arrive there as tuples. */
static inline const char *cscoreboard_method(const cscoreboard_slot *slot) { return slot->method; }
static inline const char *cscoreboard_uri(const cscoreboard_slot *slot) { return slot->uri; }
static inline const char *cscoreboard_query(const cscoreboard_slot *slot) { return slot->query; }
static inline const char *cscoreboard_user(const cscoreboard_slot *slot) { return slot->user; }
static inline const char *cscoreboard_script(const cscoreboard_slot *slot) { return slot->script; }

/* Copies a slot; false if its text kept changing (the copy is then usable but may mix two requests). Every
   text of the copy is terminated, whatever the owner wrote. */
static inline bool cscoreboard_copy(const cscoreboard_slot *slot, cscoreboard_slot *copy) {
    bool stable = false;
    for (int attempt = 0; attempt < 8 && !stable; attempt++) {
        uint32_t before = __atomic_load_n(&slot->sequence, __ATOMIC_ACQUIRE);
        memcpy(copy, slot, sizeof *copy);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        stable = !(before & 1) && __atomic_load_n(&slot->sequence, __ATOMIC_RELAXED) == before;
    }
    copy->method[sizeof copy->method - 1] = 0;
    copy->uri[sizeof copy->uri - 1] = 0;
    copy->query[sizeof copy->query - 1] = 0;
    copy->user[sizeof copy->user - 1] = 0;
    copy->script[sizeof copy->script - 1] = 0;
    return stable;
}

#if defined(__clang__)
#pragma clang assume_nonnull end
#endif
#endif
