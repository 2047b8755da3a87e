/* watchdog.c - see watchdog.h.
 *
 * What the signal handler does is what is safe there: it reads and writes the watchdog's own fields, which its own thread alone
 * writes, reads the clock, and calls lua_sethook, which is made for it. In one more case it reads where a coroutine is (lua_getstack,
 * lua_getinfo): while a C function called by Lua has run for a tenth of a budget without a call, a return or an instruction that would have
 * met the hook, or waits in the kernel. Then nothing changes what these functions read. */
#define _GNU_SOURCE /* gettid, pthread_getattr_np */
#include "app/watchdog.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid /* glibc before 2.39 */
#endif

#define SIGNAL SIGPROF /* stands for CPU time as it is; debuggers let it pass */
#define NS_PER_MS 1000000
#define LEAST_TICK_MS 10
#define LONGEST_TICK_MS 100
#define LOOK_MS 300     /* of CPU time, between two looks at where a long stretch is */
#define WAITS_NS 100000 /* a thread that used less CPU time between two looks waits in the kernel */
#define VERDICT_BYTES 4096
#define LEVELS 12 /* of each coroutine, in the verdict */
#define PLACE_WORDS (WATCHDOG_PLACE_BYTES / 8)

struct Watchdog {
    _Atomic(const char *) *doing;
    int64_t budget_ns; /* below 0: none */
    int64_t tick_ms;
    timer_t timer;
    pthread_t thread;
    atomic_bool started;
    char *stack_limit; /* below it the C stack is short */

    /* The thread's own, shared with the signal handler that interrupts it. */
    _Atomic(WatchdogFrame *) top;  /* the innermost call through the door */
    _Atomic(WatchdogFrame *) base; /* the stretch that runs is inside of this one */
    atomic_uint stretch;           /* its number */
    atomic_bool over, judged;
    atomic_bool replaced; /* over, since nobody wants what it does any more; until the next stretch */
    atomic_bool looking;  /* the hook is to say where it is */
    atomic_bool hooked;   /* … and was set, but has not been called since */

    /* The signal handler's own. */
    unsigned seen; /* the stretch that it has seen last, … */
    int64_t begun_ns, look_ns;
    unsigned asked;   /* the stretch in which it was asked to look, … */
    int64_t asked_ns; /* … and the CPU time then */

    char verdict[VERDICT_BYTES];

    /* Read by other threads: a text in words, good if `version` is even and the same before and after. */
    atomic_uint version, place_stretch;
    _Atomic uint64_t place[PLACE_WORDS];
};

/* A signal handler learns nothing but the number of the signal and what anybody may have sent along; its thread is what it can
 * trust. */
static _Thread_local Watchdog *watching;

static const char spent; /* its address marks coroutines, in the space that Lua keeps for its host in front of each */

static int64_t cpu_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* --- text without allocation ------------------------------------------------------------------------------------------------- */

typedef struct {
    char *text;
    size_t size, used;
} Text;

static void append(Text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void append(Text *text, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int added = vsnprintf(text->text + text->used, text->size - text->used, format, args);
    va_end(args);
    if (added > 0) text->used += (size_t)added;
    if (text->used >= text->size) text->used = text->size - 1;
}

/* As luaL_traceback has it, without the names of library functions, for which it would ask Lua. */
static void append_level(Text *text, const lua_Debug *level)
{
    append(text, "\n\t%s:", level->short_src);
    if (level->currentline > 0) append(text, "%d:", level->currentline);
    if (*level->namewhat)
        append(text, " in %s '%s'", level->namewhat, level->name);
    else if (*level->what == 'm')
        append(text, " in main chunk");
    else if (*level->what == 'C')
        append(text, " in ?");
    else
        append(text, " in function <%s:%d>", level->short_src, level->linedefined);
}

static void append_stack(Text *text, lua_State *L)
{
    lua_Debug level;
    int number = 0;
    for (; number < LEVELS && lua_getstack(L, number, &level); number++) {
        lua_getinfo(L, "Sln", &level);
        append_level(text, &level);
    }
    if (lua_getstack(L, number, &level)) append(text, "\n\t...");
}

/* The innermost place in Lua of what runs inside `base`; false if there is none. `called`: the C function that was called there, or
 * NULL. */
static bool find_place(WatchdogFrame *frame, const WatchdogFrame *base, lua_Debug *place, const char **called)
{
    *called = NULL;
    for (; frame && frame != base; frame = frame->outer) {
        for (int number = 0; lua_getstack(frame->L, number, place); number++) {
            lua_getinfo(frame->L, "Sln", place);
            if (place->currentline > 0) return true;
            *called = place->name ? place->name : "a C function";
        }
    }
    return false;
}

/* --- the verdict: once for each stretch that is over ---------------------------------------------------------------------------- */

static void write_verdict(Watchdog *watchdog)
{
    Text text = {watchdog->verdict, sizeof watchdog->verdict, 0};
    WatchdogFrame *top = atomic_load(&watchdog->top), *base = atomic_load(&watchdog->base);
    const char *doing = atomic_load(watchdog->doing);
    const char *called;
    lua_Debug place;
    if (find_place(top, base, &place, &called)) append(&text, "%s:%d: ", place.short_src, place.currentline);
    if (!doing) doing = "the script";
    if (atomic_load(&watchdog->replaced))
        append(&text, "RELOADED: the generation was replaced while %s ran", doing);
    else
        append(&text, "CPU budget exceeded: %s has run for %.1f s of CPU time (setting `cpu`)", doing,
               (double)(cpu_now_ns() - watchdog->begun_ns) / 1e9);
    append(&text, "\nstack traceback:");
    lua_State *shown = NULL;
    for (WatchdogFrame *frame = top; frame && frame != base; shown = frame->L, frame = frame->outer)
        if (frame->L != shown) append_stack(&text, frame->L);
}

/* --- places ---------------------------------------------------------------------------------------------------------------------- */

static void note_place(Watchdog *watchdog, const lua_Debug *place, const char *called)
{
    char text[WATCHDOG_PLACE_BYTES] = "";
    if (called)
        snprintf(text, sizeof text, "in %.40s, called at %.60s:%d", called, place->short_src, place->currentline);
    else
        snprintf(text, sizeof text, "at %.60s:%d", place->short_src, place->currentline);
    atomic_fetch_add(&watchdog->version, 1);
    for (size_t i = 0; i < PLACE_WORDS; i++) {
        uint64_t word;
        memcpy(&word, text + 8 * i, sizeof word);
        atomic_store(&watchdog->place[i], word);
    }
    atomic_store(&watchdog->place_stretch, atomic_load(&watchdog->stretch));
    atomic_fetch_add(&watchdog->version, 1);
}

static void note_where_it_runs(Watchdog *watchdog)
{
    const char *called;
    lua_Debug place;
    if (find_place(atomic_load(&watchdog->top), atomic_load(&watchdog->base), &place, &called))
        note_place(watchdog, &place, called);
}

bool watchdog_place(Watchdog *watchdog, char place[WATCHDOG_PLACE_BYTES])
{
    unsigned version = atomic_load(&watchdog->version);
    if (atomic_load(&watchdog->place_stretch) != atomic_load(&watchdog->stretch)) return false;
    for (size_t i = 0; i < PLACE_WORDS; i++) {
        uint64_t word = atomic_load(&watchdog->place[i]);
        memcpy(place + 8 * i, &word, sizeof word);
    }
    return version > 0 && version % 2 == 0 && version == atomic_load(&watchdog->version);
}

/* --- the hook -------------------------------------------------------------------------------------------------------------------- */

static void strike(lua_State *L, lua_Debug *event);

static void set_hook(Watchdog *watchdog)
{
    WatchdogFrame *top = atomic_load(&watchdog->top);
    atomic_store(&watchdog->hooked, true);
    lua_sethook(top->L, strike, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
}

static void mark_spent(lua_State *L)
{
    /* The main coroutine runs in protected calls only, each of which puts hooks on again; and others get a copy of its mark. */
    bool main = lua_pushthread(L);
    lua_pop(L, 1);
    if (!main) *(const void **)lua_getextraspace(L) = &spent;
}

static void strike(lua_State *L, lua_Debug *event)
{
    Watchdog *watchdog = watching;
    (void)event;
    if (!watchdog) return;
    atomic_store(&watchdog->hooked, false);
    if (atomic_exchange(&watchdog->looking, false)) note_where_it_runs(watchdog);
    if (!atomic_load(&watchdog->over)) {
        lua_sethook(L, NULL, 0, 0);
        return;
    }
    if (!atomic_exchange(&watchdog->judged, true)) write_verdict(watchdog);
    mark_spent(L);
    lua_pushstring(L, watchdog->verdict);
    lua_error(L);
}

/* --- the signal ------------------------------------------------------------------------------------------------------------------- */

static void tick(Watchdog *watchdog)
{
    unsigned stretch = atomic_load(&watchdog->stretch);
    int64_t now_ns = cpu_now_ns();
    if (stretch != watchdog->seen) {
        watchdog->seen = stretch;
        watchdog->begun_ns = watchdog->look_ns = now_ns;
        return;
    }
    if (!atomic_load(&watchdog->top)) return;
    if (atomic_load(&watchdog->hooked)) note_where_it_runs(watchdog);
    bool over = watchdog->budget_ns >= 0 && now_ns - watchdog->begun_ns >= watchdog->budget_ns;
    bool look = now_ns - watchdog->look_ns >= (int64_t)LOOK_MS * NS_PER_MS;
    if (look) watchdog->look_ns = now_ns;
    if (look) atomic_store(&watchdog->looking, true);
    if (over) atomic_store(&watchdog->over, true);
    if (look || over) set_hook(watchdog);
}

/* The second time that it is asked in a stretch without having worked between, it stands in a C function that waits. */
static void look(Watchdog *watchdog)
{
    unsigned stretch = atomic_load(&watchdog->stretch);
    int64_t now_ns = cpu_now_ns();
    bool waits = watchdog->asked == stretch && now_ns - watchdog->asked_ns < WAITS_NS;
    watchdog->asked = stretch;
    watchdog->asked_ns = now_ns;
    if (waits && atomic_load(&watchdog->top)) note_where_it_runs(watchdog);
}

static void give_up(Watchdog *watchdog)
{
    if (!atomic_load(&watchdog->top)) return;
    atomic_store(&watchdog->over, true);
    set_hook(watchdog);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    Watchdog *watchdog = watching;
    int error = errno;
    (void)number;
    (void)context;
    if (watchdog && info->si_code == SI_TIMER)
        tick(watchdog);
    else if (watchdog && info->si_code == SI_TKILL && atomic_load(&watchdog->replaced))
        give_up(watchdog);
    else if (watchdog && info->si_code == SI_TKILL)
        look(watchdog);
    errno = error;
}

void watchdog_look(Watchdog *watchdog)
{
    if (watchdog->started) pthread_kill(watchdog->thread, SIGNAL);
}

void watchdog_replace(Watchdog *watchdog)
{
    atomic_store(&watchdog->replaced, true);
    watchdog_look(watchdog);
}

/* --- beginning and end --------------------------------------------------------------------------------------------------------------- */

Watchdog *watchdog_new(_Atomic(const char *) *doing, int64_t cpu_ms)
{
    Watchdog *watchdog = calloc(1, sizeof *watchdog);
    if (!watchdog) return NULL;
    watchdog->doing = doing;
    watchdog->budget_ns = cpu_ms < 0 ? -1 : cpu_ms * NS_PER_MS;
    watchdog->tick_ms = cpu_ms < 0 || cpu_ms > LONGEST_TICK_MS * 10 ? LONGEST_TICK_MS : cpu_ms / 10;
    if (watchdog->tick_ms < LEAST_TICK_MS) watchdog->tick_ms = LEAST_TICK_MS;
    return watchdog;
}

void watchdog_free(Watchdog *watchdog)
{
    free(watchdog);
}

/* NULL, which no address is below of, if it is not known. */
static char *half_of_the_stack(void)
{
    pthread_attr_t attributes;
    void *lowest = NULL;
    size_t size = 0;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) return NULL;
    pthread_attr_getstack(&attributes, &lowest, &size);
    pthread_attr_destroy(&attributes);
    return (char *)lowest + size / 2;
}

/* The process's, and the same each time; what a script starts gets the default again. Calls of the system go on after it. */
static bool install(void)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_RESTART | SA_SIGINFO};
    sigset_t open;
    sigemptyset(&action.sa_mask);
    sigemptyset(&open);
    sigaddset(&open, SIGNAL);
    return sigaction(SIGNAL, &action, NULL) == 0 && pthread_sigmask(SIG_UNBLOCK, &open, NULL) == 0;
}

bool watchdog_start(Watchdog *watchdog)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGNAL};
    struct timespec each = {.tv_sec = (time_t)(watchdog->tick_ms / 1000),
                            .tv_nsec = (long)(watchdog->tick_ms % 1000) * NS_PER_MS};
    struct itimerspec times = {.it_interval = each, .it_value = each};
    event.sigev_notify_thread_id = gettid();
    watchdog->thread = pthread_self();
    watchdog->stack_limit = half_of_the_stack();
    watching = watchdog;
    if (!install() || timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &watchdog->timer) != 0) return false;
    watchdog->started = timer_settime(watchdog->timer, 0, &times, NULL) == 0;
    if (!watchdog->started) timer_delete(watchdog->timer);
    return watchdog->started;
}

void watchdog_stop(Watchdog *watchdog)
{
    if (watchdog->started) timer_delete(watchdog->timer);
    watching = NULL; /* a signal that is on its way finds nobody */
}

/* --- the door ------------------------------------------------------------------------------------------------------------------------- */

/* First the number, so that from here on a signal sees a new stretch, which is not over. */
static void renew(Watchdog *watchdog)
{
    atomic_store_explicit(&watchdog->stretch, atomic_load_explicit(&watchdog->stretch, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    atomic_store_explicit(&watchdog->base, atomic_load_explicit(&watchdog->top, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_store_explicit(&watchdog->over, false, memory_order_relaxed);
    atomic_store_explicit(&watchdog->judged, false, memory_order_relaxed);
    if (atomic_load_explicit(&watchdog->replaced, memory_order_relaxed)) atomic_store(&watchdog->replaced, false);
    atomic_store_explicit(&watchdog->hooked, false, memory_order_relaxed);
    atomic_store_explicit(&watchdog->looking, false, memory_order_relaxed);
}

void watchdog_renew(Watchdog *watchdog)
{
    renew(watchdog);
}

void watchdog_enter(WatchdogFrame *frame, lua_State *L)
{
    Watchdog *watchdog = watching;
    if (!watchdog) return;
    frame->L = L;
    frame->outer = atomic_load_explicit(&watchdog->top, memory_order_relaxed);
    if (!frame->outer) renew(watchdog);
    atomic_signal_fence(memory_order_seq_cst);
    atomic_store_explicit(&watchdog->top, frame, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&watchdog->over, memory_order_relaxed)) set_hook(watchdog);
}

void watchdog_leave(WatchdogFrame *frame)
{
    Watchdog *watchdog = watching;
    if (!watchdog) return;
    atomic_signal_fence(memory_order_seq_cst);
    atomic_store_explicit(&watchdog->top, frame->outer, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    if (frame->outer && atomic_load_explicit(&watchdog->over, memory_order_relaxed)) set_hook(watchdog);
}

bool watchdog_stack_is_short(void)
{
    return watching && (char *)__builtin_frame_address(0) < watching->stack_limit;
}

bool watchdog_over(void)
{
    return watching && atomic_load(&watching->over) && atomic_load(watching->doing);
}

bool watchdog_judged(void)
{
    return watching && atomic_load(&watching->judged);
}

const char *watchdog_verdict(void)
{
    return watching ? watching->verdict : "";
}

bool watchdog_spent(lua_State *coroutine)
{
    return *(const void **)lua_getextraspace(coroutine) == &spent;
}
