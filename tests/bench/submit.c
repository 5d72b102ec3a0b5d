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
#include "proto/xalloc.h"

/*
 * Submits per second at the socket of a running daemon.
 *
 * A load CxDxN is C connections, each with D requests under way, until N are
 * answered.  Every answer is awaited and must be a result; so a figure counts
 * durable submits.  One JSON line per load, and one for the time that the
 * slowest of a hundred answers took.
 *
 * Other daemons with the same framing can be put beside: --method names theirs.
 */

#define MAX_CONNECTIONS 1000
#define MAX_DEPTH 4096
#define MAX_EVENTS 64

/* Waits a day, so that nothing but the submit is measured. */
static const char default_params[] =
	"{\"kind\":\"fetch\",\"queue\":\"fetch\",\"url\":\"http://127.0.0.1:8080/f/000001.bin\","
	"\"output\":\"bench/000001.bin\",\"priority\":5,\"timeout\":30,\"delay\":86400,"
	"\"headers\":{\"Accept\":\"*/*\"},\"max_size\":12345678}";

struct connection {
	int fd;
	size_t n_to_send;   /* bytes of started requests that are not sent yet */
	size_t n_sent_of;   /* bytes of the first of them that are sent */
	struct mono *asked; /* owns; a ring of depth entries: when each was asked */
	unsigned first, n_asked;
	char line[64 * 1024]; /* an answer that is not complete yet */
	size_t len;
};

struct load {
	unsigned n_connections, depth;
	uint64_t n;
};

static struct {
	const char *socket, *method, *params, *label;
	char *request; /* owns; one line */
	size_t request_len;
} options = { .method = "job.submit", .params = default_params, .label = "submit" };

static struct connection *connections;
static double *latencies; /* seconds */
static uint64_t n_asked, n_answered, n_wanted;

static _Noreturn void die(const char *what, const char *why)
{
	fprintf(stderr, "bench/submit: %s: %s\n", what, why);
	exit(1);
}

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

/* Send what is to be sent, without waiting. */
static void push(struct connection *c)
{
	while (c->n_to_send > 0) {
		const char *from = options.request + c->n_sent_of;
		size_t len = options.request_len - c->n_sent_of;
		ssize_t n = send(c->fd, from, len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0)
			die("send", strerror(errno));
		c->n_to_send -= (size_t)n;
		c->n_sent_of = (c->n_sent_of + (size_t)n) % options.request_len;
	}
}

static void ask(struct connection *c, unsigned depth)
{
	struct mono now = now_mono();

	while (c->n_asked < depth && n_asked < n_wanted) {
		c->asked[(c->first + c->n_asked) % depth] = now;
		c->n_asked++;
		c->n_to_send += options.request_len;
		n_asked++;
	}
	push(c);
}

static void take_answer(struct connection *c, const char *line, size_t len, unsigned depth)
{
	if (memmem(line, len, "\"result\"", 8) == NULL) {
		fprintf(stderr, "bench/submit: refused: %.*s\n", (int)(len < 400 ? len : 400),
			line);
		exit(1);
	}
	/* Answers may overtake each other; over many of them the sum is the same. */
	latencies[n_answered++] = (double)(now_mono().ns - c->asked[c->first].ns) / 1e9;
	c->first = (c->first + 1) % depth;
	c->n_asked--;
}

/* Read once; false when there is nothing to read now. */
static bool pull(struct connection *c, unsigned depth)
{
	ssize_t n = recv(c->fd, c->line + c->len, sizeof(c->line) - c->len, MSG_DONTWAIT);
	char *from = c->line, *end;

	if (n == 0)
		die("the daemon", "closed the connection");
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n < 0)
		die("recv", strerror(errno));
	c->len += (size_t)n;
	while ((end = memchr(from, '\n', c->len - (size_t)(from - c->line))) != NULL) {
		take_answer(c, from, (size_t)(end - from), depth);
		from = end + 1;
	}
	c->len -= (size_t)(from - c->line);
	memmove(c->line, from, c->len);
	if (c->len == sizeof(c->line))
		die("an answer", "is too long");
	return true;
}

static void start(struct connection *c, int epoll_fd, const struct load *load)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c };

	memset(c, 0, sizeof(*c));
	c->fd = connect_to(options.socket);
	c->asked = xcalloc(load->depth, sizeof(*c->asked));
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event) < 0)
		die("epoll", strerror(errno));
}

static void serve(struct connection *c, unsigned depth)
{
	/* Edge-triggered: until nothing comes. */
	while (pull(c, depth))
		ask(c, depth);
	push(c);
}

static void print_results(const struct load *load, double seconds)
{
	printf("{\"name\":\"%s/%ux%u\",\"value\":%.0f,\"unit\":\"/s\"}\n", options.label,
	       load->n_connections, load->depth, (double)load->n / seconds);
	qsort(latencies, load->n, sizeof(*latencies), compare_doubles);
	printf("{\"name\":\"%s/%ux%u/p99\",\"value\":%.3f,\"unit\":\"ms\"}\n", options.label,
	       load->n_connections, load->depth, latencies[load->n * 99 / 100] * 1e3);
	fflush(stdout);
}

static void run(const struct load *load)
{
	struct epoll_event events[MAX_EVENTS];
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	struct mono began;

	n_asked = n_answered = 0;
	n_wanted = load->n;
	latencies = xreallocarray(latencies, load->n, sizeof(*latencies));
	for (unsigned i = 0; i < load->n_connections; i++)
		start(&connections[i], epoll_fd, load);
	began = now_mono();
	for (unsigned i = 0; i < load->n_connections; i++)
		ask(&connections[i], load->depth);
	while (n_answered < load->n) {
		int n = epoll_wait(epoll_fd, events, MAX_EVENTS, 30000);

		if (n == 0)
			die("the daemon", "has not answered for 30 s");
		for (int i = 0; i < n; i++)
			serve(events[i].data.ptr, load->depth);
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

static const struct option long_options[] = {
	{ "socket", required_argument, NULL, 's' },
	{ "method", required_argument, NULL, 'm' },
	{ "params", required_argument, NULL, 'p' },
	{ "label", required_argument, NULL, 'l' },
	{ 0 },
};

static bool take_option(int id)
{
	switch (id) {
	case 's':
		options.socket = optarg;
		return true;
	case 'm':
		options.method = optarg;
		return true;
	case 'p':
		options.params = optarg;
		return true;
	case 'l':
		options.label = optarg;
		return true;
	default:
		return false;
	}
}

int main(int argc, char **argv)
{
	static const char *const usual[] = { "1x1x3000", "1x64x30000", "50x1x20000",
					     "50x16x100000" };
	bool is_good = true;
	int id;

	while ((id = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		is_good &= take_option(id);
	if (!is_good || options.socket == NULL) {
		fprintf(stderr, "Usage: bench/submit --socket PATH [--method NAME] [--params JSON] "
				"[--label TEXT] [CONNECTIONSxDEPTHxCOUNT...]\n");
		return 2;
	}
	options.request =
		xasprintf("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":%s}\n",
			  options.method, options.params);
	options.request_len = strlen(options.request);
	connections = xcalloc(MAX_CONNECTIONS, sizeof(*connections));
	if (optind == argc) {
		for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++) {
			struct load load = parse_load(usual[i]);

			run(&load);
		}
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
