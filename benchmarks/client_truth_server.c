/* A server of known speed: the truth that benchmark clients are compared with.
 *
 * It streams completions from a schedule and stamps CLOCK_MONOTONIC just before each write(), so that whatever a
 * client reports can be held against what really left the socket. One thread, epoll, no allocation per token.
 *
 *   gcc -O2 -o truth client_truth_server.c
 *   ./truth --port 9000 --tokens 128 --ttft-ms 200 --itl-ms 10 --log truth.bin
 *
 *   --itl-ms 0         as fast as the socket takes it
 *   --events N         events in one write
 *   --faults           every 8th request HTTP 503, every 9th cut, every 11th an SSE error event
 *   --log FILE         written at SIGTERM: for each request (read_ns, fault, n) and n send stamps, all 64 bit
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FDS = 16384, REQUEST_BYTES = 1 << 20, WORDS = 16, OUT_BYTES = 1 << 16 };
enum { NO_FAULT, HTTP_503, CUT, SSE_ERROR };

typedef struct {
    int64_t read_ns, fault, n;
    int64_t *sent;
} Record;

typedef struct {
    int fd, length;           /* bytes of the request so far */
    char *request;
    int tokens, sent, chat;   /* of the answer that is going on; tokens 0: none is */
    int64_t due;
    Record *record;
    char *rest;               /* what the socket did not take */
    int rest_at, rest_length;
} Stream;

static const char *words[WORDS] = {" sea", " boat", " old", " stone", " lamp", " road", " winter", " song",
                                   " house", " gull", " coast", " small", " calm", " long", " window", " home"};
static char events[2][WORDS][512];
static int event_length[2][WORDS];
static Stream *streams[MAX_FDS];
static Stream *heap[MAX_FDS];
static int heap_size, poll_fd, tokens = 128, per_write = 1, faults;
static int64_t ttft_ns = 200000000, itl_ns = 10000000;
static Record *records;
static int64_t record_count, record_room;
static volatile sig_atomic_t stopped;

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* A heap by due time: the next stream to write to is heap[0]. */
static void sift_down(int i) {
    for (;;) {
        int least = i, left = 2 * i + 1;
        if (left < heap_size && heap[left]->due < heap[least]->due) least = left;
        if (left + 1 < heap_size && heap[left + 1]->due < heap[least]->due) least = left + 1;
        if (least == i) return;
        Stream *other = heap[i];
        heap[i] = heap[least];
        heap[least] = other;
        i = least;
    }
}

static void push(Stream *stream) {
    int i = heap_size++;
    heap[i] = stream;
    while (i && heap[(i - 1) / 2]->due > heap[i]->due) {
        Stream *parent = heap[(i - 1) / 2];
        heap[(i - 1) / 2] = heap[i];
        heap[i] = parent;
        i = (i - 1) / 2;
    }
}

static void pop(void) {
    heap[0] = heap[--heap_size];
    sift_down(0);
}

static void shut(Stream *stream) {
    for (int i = 0; i < heap_size; i++)
        if (heap[i] == stream) {
            heap[i] = heap[--heap_size];
            for (int j = heap_size / 2; j >= 0; j--) sift_down(j);
            break;
        }
    streams[stream->fd] = NULL;
    close(stream->fd);
    free(stream->request);
    free(stream->rest);
    free(stream);
}

/* Write, and keep what the socket does not take; returns 1 if all went out. */
static int put(Stream *stream, const char *data, int length) {
    int sent = (int)send(stream->fd, data, (size_t)length, MSG_NOSIGNAL);
    if (sent == length) return 1;
    if (sent < 0) sent = 0;
    stream->rest = malloc((size_t)(length - sent));
    memcpy(stream->rest, data + sent, (size_t)(length - sent));
    stream->rest_at = 0;
    stream->rest_length = length - sent;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.fd = stream->fd};
    epoll_ctl(poll_fd, EPOLL_CTL_MOD, stream->fd, &event);
    return 0;
}

static int chunk(char *out, const char *text) {
    return sprintf(out, "%zx\r\n%s\r\n", strlen(text), text);
}

static void answer_plain(Stream *stream, int status, const char *body) {
    char out[1024];
    int length = sprintf(out, "HTTP/1.1 %d -\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                         status, strlen(body), body);
    put(stream, out, length);
}

static void finish(Stream *stream, int fault) {
    char out[2048], usage[512];
    int length = 0;
    if (fault == SSE_ERROR)
        length += chunk(out, "data: {\"error\":{\"message\":\"engine died\",\"code\":500}}\n\n");
    else {
        sprintf(usage, "data: {\"id\":\"cmpl-0123456789abcdef\",\"choices\":[],\"usage\":{\"prompt_tokens\":32,"
                       "\"completion_tokens\":%d,\"total_tokens\":%d}}\n\n", stream->tokens, stream->tokens + 32);
        length += chunk(out, usage);
    }
    length += chunk(out + length, "data: [DONE]\n\n");
    length += sprintf(out + length, "0\r\n\r\n");
    stream->tokens = 0;
    put(stream, out, length);
}

/* Send what is due; returns 0 if the stream was shut or waits for its socket. */
static int step(Stream *stream) {
    char out[OUT_BYTES];
    int length = 0, count = 0, fault = (int)stream->record->fault;
    int last = fault == CUT || fault == SSE_ERROR ? stream->tokens / 2 : stream->tokens;
    while (count < per_write && stream->sent + count < last) {
        int word = (stream->sent + count * 7 + (int)record_count) % WORDS;
        memcpy(out + length, events[stream->chat][word], (size_t)event_length[stream->chat][word]);
        length += event_length[stream->chat][word];
        count++;
    }
    int64_t stamp = now();
    int whole = put(stream, out, length);
    for (int i = 0; i < count; i++) stream->record->sent[stream->record->n++] = stamp;
    stream->sent += count;
    stream->due += itl_ns;
    if (stream->sent < last) return whole;
    if (fault == CUT) {
        shut(stream);
        return 0;
    }
    if (whole) finish(stream, fault);
    return 0;
}

static void start(Stream *stream, int64_t read_ns) {
    if (record_count == record_room) {
        record_room = record_room ? 2 * record_room : 4096;
        /* streams point into the records: they are found again by their distance */
        Record *moved = malloc((size_t)record_room * sizeof *moved);
        if (records) memcpy(moved, records, (size_t)record_count * sizeof *moved);
        for (int fd = 0; fd < MAX_FDS; fd++)
            if (streams[fd] && streams[fd]->record) streams[fd]->record = moved + (streams[fd]->record - records);
        free(records);
        records = moved;
    }
    int64_t number = record_count + 1;
    int fault = !faults ? NO_FAULT : number % 8 == 0 ? HTTP_503 : number % 9 == 0 ? CUT : number % 11 == 0 ? SSE_ERROR : 0;
    char *asked = strstr(stream->request, "\"max_tokens\":");
    stream->tokens = asked ? atoi(asked + 13) : tokens;
    stream->chat = strstr(stream->request, "/chat/") != NULL;
    stream->record = &records[record_count++];
    *stream->record = (Record){read_ns, fault, 0, malloc((size_t)stream->tokens * sizeof(int64_t))};
    if (fault == HTTP_503) {
        stream->tokens = 0;
        answer_plain(stream, 503, "{\"error\":{\"message\":\"overloaded\"}}");
        return;
    }
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n";
    stream->sent = 0;
    stream->due = read_ns + ttft_ns;
    if (put(stream, head, sizeof head - 1)) push(stream);
}

static void readable(Stream *stream) {
    int got = (int)recv(stream->fd, stream->request + stream->length, (size_t)(REQUEST_BYTES - stream->length - 1), 0);
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN) shut(stream);
        return;
    }
    int64_t stamp = now();
    stream->length += got;
    stream->request[stream->length] = 0;
    char *body = strstr(stream->request, "\r\n\r\n");
    if (!body) return;
    body += 4;
    char *field = strcasestr(stream->request, "\r\ncontent-length:");
    int length = field && field < body ? atoi(field + 17) : 0;
    if (stream->request + stream->length < body + length) return;
    stream->length = 0;
    if (!strncmp(stream->request, "GET /v1/models", 14))
        answer_plain(stream, 200, "{\"object\":\"list\",\"data\":[{\"id\":\"mock\",\"object\":\"model\"}]}");
    else if (!strncmp(stream->request, "POST", 4) && strstr(stream->request, "completions"))
        start(stream, stamp);
    else
        answer_plain(stream, 404, "{\"detail\":\"Not Found\"}");
}

static void writable(Stream *stream) {
    int left = stream->rest_length - stream->rest_at;
    int sent = (int)send(stream->fd, stream->rest + stream->rest_at, (size_t)left, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) {
        shut(stream);
        return;
    }
    stream->rest_at += sent > 0 ? sent : 0;
    if (stream->rest_at < stream->rest_length) return;
    free(stream->rest);
    stream->rest = NULL;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = stream->fd};
    epoll_ctl(poll_fd, EPOLL_CTL_MOD, stream->fd, &event);
    if (!stream->tokens) return;
    if (stream->sent >= stream->tokens) finish(stream, (int)stream->record->fault);
    else push(stream);
}

static void greet(int listener) {
    int fd, yes = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        Stream *stream = calloc(1, sizeof *stream);
        stream->fd = fd;
        stream->request = malloc(REQUEST_BYTES);
        streams[fd] = stream;
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event);
    }
}

static void stop(int signal) {
    (void)signal;
    stopped = 1;
}

static void prepare(void) {
    static const char *before[2] = {
        "data: {\"id\":\"cmpl-0123456789abcdef\",\"object\":\"text_completion\",\"created\":1763000000,\"model\":\"mock\","
        "\"choices\":[{\"index\":0,\"text\":\"",
        "data: {\"id\":\"chatcmpl-0123456789abcdef\",\"object\":\"chat.completion.chunk\",\"created\":1763000000,"
        "\"model\":\"mock\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\""};
    static const char *after[2] = {"\",\"logprobs\":null,\"finish_reason\":null,\"stop_reason\":null}],\"usage\":null}\n\n",
                                   "\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n"};
    for (int chat = 0; chat < 2; chat++)
        for (int word = 0; word < WORDS; word++) {
            char text[480];
            sprintf(text, "%s%s%s", before[chat], words[word], after[chat]);
            event_length[chat][word] = chunk(events[chat][word], text);
        }
}

static void write_log(const char *path) {
    FILE *file = fopen(path, "wb");
    if (!file) return;
    for (int64_t i = 0; i < record_count; i++) {
        fwrite(&records[i], sizeof(int64_t), 3, file);
        fwrite(records[i].sent, sizeof(int64_t), (size_t)records[i].n, file);
    }
    fclose(file);
}

int main(int argc, char **argv) {
    int port = 9000, yes = 1;
    const char *log = NULL;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (!strcmp(argv[i], "--faults")) faults = 1;
        else if (!strcmp(argv[i], "--port")) port = atoi(value);
        else if (!strcmp(argv[i], "--tokens")) tokens = atoi(value);
        else if (!strcmp(argv[i], "--events")) per_write = atoi(value);
        else if (!strcmp(argv[i], "--ttft-ms")) ttft_ns = (int64_t)(atof(value) * 1e6);
        else if (!strcmp(argv[i], "--itl-ms")) itl_ns = (int64_t)(atof(value) * 1e6);
        else if (!strcmp(argv[i], "--log")) log = value;
    }
    prepare();
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    prctl(PR_SET_TIMERSLACK, 1);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) {
        perror("listen");
        return 1;
    }
    poll_fd = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, ready[256];
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, listener, &event);
    while (!stopped) {
        struct timespec wait = {1, 0};
        if (heap_size) {
            int64_t left = heap[0]->due - now();
            wait = (struct timespec){left > 0 ? left / 1000000000 : 0, left > 0 ? left % 1000000000 : 0};
        }
        int count = epoll_pwait2(poll_fd, ready, 256, &wait, NULL);
        for (int i = 0; i < count; i++) {
            int fd = ready[i].data.fd;
            if (fd == listener) {
                greet(listener);
                continue;
            }
            if (streams[fd] && streams[fd]->rest && (ready[i].events & EPOLLOUT)) writable(streams[fd]);
            if (streams[fd] && (ready[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))) readable(streams[fd]);
        }
        /* Bounded, so that requests are read between bursts of tokens. */
        int64_t until = now();
        for (int i = 0; i < 512 && heap_size && heap[0]->due <= until; i++) {
            Stream *stream = heap[0];
            pop();
            if (step(stream)) push(stream);
        }
    }
    if (log) write_log(log);
    return 0;
}
