/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/base/now.h"
#include "proto/buf.h"
#include "proto/xalloc.h"

/*
 * Submits per second at the socket of a running daemon: awaitd, or another that
 * has jobs, with the same bytes for a job and the same cost on our side.
 *
 * A load CxDxN is C connections, each with D requests under way, until N jobs
 * are answered.  Every answer is awaited and must say that it was done; so a
 * figure counts durable submits, if the daemon answers when they are.  With
 * --cycle a job is followed to its end, one at a time on a connection.  One JSON
 * line per load.
 */

#define MAX_CONNECTIONS 1000
#define MAX_DEPTH 4096
#define MAX_EVENTS 64
#define WAIT_MS 30000
#define FOLLOW_UP_BYTES 256

/* Waits a day, so that nothing but the submit is measured. */
static const char default_params[] =
	"{\"kind\":\"fetch\",\"queue\":\"fetch\",\"url\":\"http://127.0.0.1:8080/f/000001.bin\","
	"\"output\":\"bench/000001.bin\",\"priority\":5,\"timeout\":30,\"delay\":86400,"
	"\"headers\":{\"Accept\":\"*/*\"},\"max_size\":12345678}";

static const char timer_params[] = "{\"kind\":\"timer\",\"sleep\":0}";

struct connection {
	int fd;
	bool is_blocked;
	size_t n_to_send;   /* bytes of started requests that are not sent yet */
	size_t n_sent_of;   /* bytes of the first of them that are sent */
	struct mono *asked; /* owns; a ring of depth entries: when each was asked */
	unsigned first, n_asked;
	unsigned step;			 /* of a cycle: how many answers its job has had */
	char follow_up[FOLLOW_UP_BYTES]; /* the cycle's next request */
	char line[64 * 1024];		 /* an answer that is not complete yet */
	size_t len;
};

/* How another daemon is spoken to. */
struct protocol {
	const char *name;
	/* The request that submits a job, to be freed. */
	char *(*request)(void);
	/* Does this answer (with a NUL at its end) tell of success? */
	bool (*is_good)(const char *answer);
	/* The length of the complete answer at @text, 0 when it is not complete. */
	size_t (*answer_len)(const char *text, size_t len);
	/* The next request of a job's life after this answer; false: it is over. */
	bool (*follow)(struct connection *c, const char *answer);
};

struct load {
	unsigned n_connections, depth;
	uint64_t n;
};

static struct {
	const char *socket, *method, *params, *label;
	const struct protocol *protocol;
	unsigned n_in_one; /* documents in a request; 0 = it is one */
	bool is_cycle;
	char *request; /* owns; MAX_DEPTH times what is sent for a job, at the most */
	size_t request_len, burst_len;
} options = { .label = "submit" };

static struct connection *connections;
static double *latencies; /* seconds */
static uint64_t n_asked, n_answered, n_wanted;

static _Noreturn void die(const char *what, const char *why)
{
	fprintf(stderr, "bench/submit: %s: %s\n", what, why);
	exit(1);
}

/* ---- protocols ---- */

static size_t line_len(const char *text, size_t len)
{
	const char *end = memchr(text, '\n', len);

	return end ? (size_t)(end - text) + 1 : 0;
}

static char *jsonrpc_request(void)
{
	struct buf params = { 0 };
	char *request;

	if (options.n_in_one) {
		buf_adds(&params, "{\"jobs\":[");
		for (unsigned i = 0; i < options.n_in_one; i++)
			buf_addf(&params, "%s%s", i ? "," : "", options.params);
		buf_adds(&params, "]}");
	} else {
		buf_adds(&params, options.params);
	}
	request = xasprintf("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":%s}\n",
			    options.method, buf_terminate(&params));
	buf_fini(&params);
	return request;
}

static bool jsonrpc_is_good(const char *answer)
{
	return strstr(answer, "\"result\"");
}

/* submit, then wait for the end of the job. */
static bool jsonrpc_follow(struct connection *c, const char *answer)
{
	static const char start[] = "\"result\":{\"id\":";
	const char *id = strstr(answer, start);

	if (c->step == 1) {
		if (!strstr(answer, "\"succeeded\""))
			die("a job", "has not succeeded");
		return false;
	}
	if (!id)
		die("an answer", "has no id of a job");
	snprintf(c->follow_up, sizeof(c->follow_up),
		 "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"job.wait\",\"params\":{\"ids\":[%lld],"
		 "\"timeout\":null}}\n",
		 strtoll(id + sizeof(start) - 1, NULL, 10));
	return true;
}

static char *beanstalk_request(void)
{
	return xasprintf("put 5 0 60 %zu\r\n%s\r\n", strlen(options.params), options.params);
}

/* What was reserved comes with its body. */
static size_t beanstalk_answer_len(const char *text, size_t len)
{
	size_t first = line_len(text, len), body;

	if (!first || strncmp(text, "RESERVED", 8) != 0)
		return first;
	body = line_len(text + first, len - first);
	return body ? first + body : 0;
}

static bool beanstalk_is_good(const char *answer)
{
	return strncmp(answer, "INSERTED", 8) == 0 || strncmp(answer, "RESERVED", 8) == 0 ||
	       strncmp(answer, "DELETED", 7) == 0;
}

/* put, then reserve, then delete. */
static bool beanstalk_follow(struct connection *c, const char *answer)
{
	unsigned long id;

	if (c->step == 0) {
		snprintf(c->follow_up, sizeof(c->follow_up), "reserve\r\n");
		return true;
	}
	if (c->step == 2)
		return false;
	if (sscanf(answer, "RESERVED %lu", &id) != 1)
		die("an answer", "has no id of a job");
	snprintf(c->follow_up, sizeof(c->follow_up), "delete %lu\r\n", id);
	return true;
}

static char *redis_request(void)
{
	return xasprintf("*3\r\n$5\r\nRPUSH\r\n$4\r\njobs\r\n$%zu\r\n%s\r\n",
			 strlen(options.params), options.params);
}

static bool redis_is_good(const char *answer)
{
	return answer[0] == ':';
}

static const struct protocol protocols[] = {
	{ "jsonrpc", jsonrpc_request, jsonrpc_is_good, line_len, jsonrpc_follow },
	{ "beanstalk", beanstalk_request, beanstalk_is_good, beanstalk_answer_len,
	  beanstalk_follow },
	{ "redis", redis_request, redis_is_good, line_len, NULL },
};

/* ---- connections ---- */

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int connect_to(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || strlen(path) >= sizeof(addr.sun_path))
		die(path, "no such socket");
	memcpy(addr.sun_path, path, strlen(path) + 1);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		die(path, strerror(errno));
	return fd;
}

static void watch(struct connection *c, int epoll_fd, int op, bool is_blocked)
{
	struct epoll_event event = { .events = EPOLLIN | (is_blocked ? EPOLLOUT : 0),
				     .data.ptr = c };

	if (epoll_ctl(epoll_fd, op, c->fd, &event) < 0)
		die("epoll", strerror(errno));
	c->is_blocked = is_blocked;
}

/* Send what is to be sent, without waiting. */
static void push(struct connection *c, int epoll_fd)
{
	while (c->n_to_send > 0) {
		size_t len = options.burst_len - c->n_sent_of;
		ssize_t n;

		if (len > c->n_to_send)
			len = c->n_to_send;
		n = send(c->fd, options.request + c->n_sent_of, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			die("send", strerror(errno));
		c->n_to_send -= (size_t)n;
		c->n_sent_of = (c->n_sent_of + (size_t)n) % options.request_len;
	}
	if (c->is_blocked != (c->n_to_send > 0))
		watch(c, epoll_fd, EPOLL_CTL_MOD, c->n_to_send > 0);
}

static void ask(struct connection *c, unsigned depth, struct mono now)
{
	while (c->n_asked < depth && n_asked < n_wanted) {
		c->asked[(c->first + c->n_asked) % depth] = now;
		c->n_asked++;
		c->n_to_send += options.request_len;
		n_asked++;
	}
}

/* The next request of a job's life; false: it is over.  @answer ends with a NUL. */
static bool follow(struct connection *c, const char *answer)
{
	size_t len;

	if (!options.is_cycle || !options.protocol->follow(c, answer)) {
		c->step = 0;
		return false;
	}
	c->step++;
	len = strlen(c->follow_up);
	if (send(c->fd, c->follow_up, len, MSG_NOSIGNAL) != (ssize_t)len)
		die("send", "not all of a small request was taken");
	return true;
}

static void take_answer(struct connection *c, char *answer, size_t len, unsigned depth,
			struct mono now)
{
	answer[len - 1] = '\0'; /* instead of the newline */
	if (!options.protocol->is_good(answer))
		die("refused", answer);
	if (follow(c, answer))
		return;
	/* Answers may overtake each other; over many of them the sum is the same. */
	latencies[n_answered++] = (double)(now.ns - c->asked[c->first].ns) / 1e9;
	c->first = (c->first + 1) % depth;
	c->n_asked--;
}

static void pull(struct connection *c, unsigned depth)
{
	ssize_t n = recv(c->fd, c->line + c->len, sizeof(c->line) - c->len, MSG_DONTWAIT);
	struct mono now = now_mono();
	char *from = c->line;
	size_t len;

	if (n == 0)
		die("the daemon", "closed the connection");
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0)
		die("recv", strerror(errno));
	c->len += (size_t)n;
	while ((len = options.protocol->answer_len(from, c->len)) > 0) {
		take_answer(c, from, len, depth, now);
		from += len;
		c->len -= len;
	}
	memmove(c->line, from, c->len);
	if (c->len == sizeof(c->line))
		die("an answer", "is too long");
	ask(c, depth, now);
}

static void start(struct connection *c, int epoll_fd, const struct load *load)
{
	memset(c, 0, sizeof(*c));
	c->fd = connect_to(options.socket);
	c->asked = xcalloc(load->depth, sizeof(*c->asked));
	watch(c, epoll_fd, EPOLL_CTL_ADD, false);
}

/* ---- one load ---- */

static void print_results(const struct load *load, double seconds)
{
	double jobs = (double)n_answered * (options.n_in_one ? options.n_in_one : 1);

	qsort(latencies, n_answered, sizeof(*latencies), compare_doubles);
	printf("{\"name\":\"%s/%ux%u\",\"value\":%.0f,\"unit\":\"/s\",\"p50_ms\":%.4f,"
	       "\"p99_ms\":%.4f}\n",
	       options.label, load->n_connections, load->depth, jobs / seconds,
	       latencies[n_answered / 2] * 1e3, latencies[n_answered * 99 / 100] * 1e3);
	fflush(stdout);
}

static void run(const struct load *load)
{
	struct epoll_event events[MAX_EVENTS];
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	struct mono began;

	if (options.is_cycle && load->depth > 1)
		die("--cycle", "a connection follows one job at a time: the depth is 1");
	n_asked = n_answered = 0;
	n_wanted = options.n_in_one ? (load->n + options.n_in_one - 1) / options.n_in_one : load->n;
	latencies = xreallocarray(latencies, n_wanted, sizeof(*latencies));
	for (unsigned i = 0; i < load->n_connections; i++)
		start(&connections[i], epoll_fd, load);
	began = now_mono();
	for (unsigned i = 0; i < load->n_connections; i++) {
		ask(&connections[i], load->depth, began);
		push(&connections[i], epoll_fd);
	}
	while (n_answered < n_wanted) {
		int n = epoll_wait(epoll_fd, events, MAX_EVENTS, WAIT_MS);

		if (n == 0)
			die("the daemon", "has not answered for 30 s");
		for (int i = 0; i < n; i++) {
			if (events[i].events & EPOLLIN)
				pull(events[i].data.ptr, load->depth);
			push(events[i].data.ptr, epoll_fd);
		}
	}
	print_results(load, (double)(now_mono().ns - began.ns) / 1e9);
	for (unsigned i = 0; i < load->n_connections; i++) {
		close(connections[i].fd);
		free(connections[i].asked);
	}
	close(epoll_fd);
}

static struct load parse_load(const char *text)
{
	struct load load;
	char rest;

	if (sscanf(text, "%ux%ux%" SCNu64 "%c", &load.n_connections, &load.depth, &load.n, &rest) !=
		    3 ||
	    load.n_connections < 1 || load.n_connections > MAX_CONNECTIONS || load.depth < 1 ||
	    load.depth > MAX_DEPTH || load.n < 1 || load.n > 100000000)
		die(text, "is no load; CONNECTIONSxDEPTHxCOUNT");
	return load;
}

static void choose_protocol(const char *name)
{
	for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++)
		if (strcmp(protocols[i].name, name) == 0)
			options.protocol = &protocols[i];
	if (!options.protocol)
		die(name, "is no protocol: jsonrpc, beanstalk, redis");
}

static const struct option long_options[] = {
	{ "socket", required_argument, NULL, 's' }, { "protocol", required_argument, NULL, 'P' },
	{ "method", required_argument, NULL, 'm' }, { "params", required_argument, NULL, 'p' },
	{ "many", required_argument, NULL, 'n' },   { "cycle", no_argument, NULL, 'c' },
	{ "label", required_argument, NULL, 'l' },  { 0 },
};

static bool take_option(int id)
{
	switch (id) {
	case 's':
		options.socket = optarg;
		return true;
	case 'P':
		choose_protocol(optarg);
		return true;
	case 'm':
		options.method = optarg;
		return true;
	case 'p':
		options.params = optarg;
		return true;
	case 'n':
		options.n_in_one = (unsigned)strtoul(optarg, NULL, 10);
		return true;
	case 'c':
		options.is_cycle = true;
		return true;
	case 'l':
		options.label = optarg;
		return true;
	default:
		return false;
	}
}

/* As often as a connection may have to send it at once. */
static void make_request(void)
{
	char *one = options.protocol->request();
	size_t len = strlen(one), n = options.n_in_one ? 1 : MAX_DEPTH;

	options.request = xmalloc(n * len);
	for (size_t i = 0; i < n; i++)
		memcpy(options.request + i * len, one, len);
	options.request_len = len;
	options.burst_len = n * len;
	free(one);
}

int main(int argc, char **argv)
{
	static const char *const usual[] = { "1x1x3000", "50x1x20000", "50x16x100000" };
	bool is_good = true;
	int id;

	while ((id = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		is_good &= take_option(id);
	if (!is_good || options.socket == NULL) {
		fprintf(stderr, "Usage: bench/submit --socket PATH [--protocol NAME] "
				"[--method NAME] [--params JSON] [--many N] [--cycle] "
				"[--label TEXT] [CONNECTIONSxDEPTHxCOUNT...]\n");
		return 2;
	}
	if (!options.protocol)
		choose_protocol("jsonrpc");
	if (!options.method)
		options.method = options.n_in_one ? "job.submit_many" : "job.submit";
	if (!options.params)
		options.params = options.is_cycle ? timer_params : default_params;
	make_request();
	connections = xcalloc(MAX_CONNECTIONS, sizeof(*connections));
	for (size_t i = 0; optind == argc && i < sizeof(usual) / sizeof(usual[0]); i++) {
		struct load load = parse_load(usual[i]);

		run(&load);
	}
	for (; optind < argc; optind++) {
		struct load load = parse_load(argv[optind]);

		run(&load);
	}
	free(options.request);
	free(connections);
	free(latencies);
	return 0;
}
