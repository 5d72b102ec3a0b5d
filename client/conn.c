/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "client/conn.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/clock.h"
#include "client/interrupt.h"
#include "proto/message.h"
#include "proto/quick.h"
#include "proto/xalloc.h"

#define SYSTEM_SOCKET "/run/awaitd/awaitd.sock"

/* A reply is longer than a request may be, but not without end. */
enum { REPLY_MAX_BYTES = 256 * 1024 * 1024, READ_BYTES = 64 * 1024 };

void reply_fini(struct reply *r)
{
	json_decref(r->value);
	free(r->text);
	*r = (struct reply){ 0 };
}

/* ---- which socket ---- */

static bool is_there(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0;
}

static char *state_socket(void)
{
	const char *state = getenv("XDG_STATE_HOME");
	const char *home = getenv("HOME");

	if (state != NULL && *state == '/')
		return xasprintf("%s/awaitd/awaitd.sock", state);
	if (home != NULL && *home == '/')
		return xasprintf("%s/.local/state/awaitd/awaitd.sock", home);
	return NULL;
}

/*
 * Where the user's own daemon would listen; NULL if there is no such place.  The
 * caller frees it.
 */
static char *user_socket(void)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	char *path;

	if (runtime != NULL && *runtime == '/')
		return xasprintf("%s/awaitd/awaitd.sock", runtime);
	path = xasprintf("/run/user/%u", (unsigned)getuid());
	if (is_there(path)) {
		free(path);
		return xasprintf("/run/user/%u/awaitd/awaitd.sock", (unsigned)getuid());
	}
	free(path);
	return state_socket();
}

static char *choose_socket(const char *socket)
{
	const char *env = getenv("AWAITD_SOCKET");
	char *path;

	if (socket != NULL)
		return xstrdup(socket);
	if (env != NULL && *env != '\0')
		return xstrdup(env);
	path = user_socket();
	if (path != NULL && is_there(path))
		return path;
	free(path);
	return xstrdup(SYSTEM_SOCKET);
}

/* ---- open, close ---- */

static void hang_up(struct conn *c)
{
	if (c->is_open)
		close(c->fd);
	c->is_open = false;
	c->in.len = 0;
	c->n_scanned = 0;
	c->n_taken = 0;
}

static int connect_to(const char *path, int *ret_fd, uid_t *ret_uid)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct ucred peer;
	socklen_t len = sizeof(peer);
	int fd;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	*ret_fd = fd;
	*ret_uid = peer.uid;
	return 0;
}

static int explain(int r, const char *path, struct aw_err *err)
{
	const char *what = "";

	if (r == -ENOENT || r == -ECONNREFUSED)
		what = "; start a daemon with \"awaitd --user\" or \"systemctl start awaitd\", "
		       "or name its socket with --socket or AWAITD_SOCKET";
	else if (r == -EACCES)
		what = "; join the group \"awaitd\", or run your own daemon with \"awaitd --user\"";
	else if (r == -ENAMETOOLONG)
		what = "; a socket's path has at most 107 bytes";
	aw_fail(err, AW_NETWORK, "no daemon at %s: %s%s", path, strerror(-r), what);
	return r;
}

int conn_open(struct conn *c, const char *socket, struct aw_err *err)
{
	int r;

	if (c->path == NULL)
		c->path = choose_socket(socket);
	r = conn_open_again(c);
	return r < 0 ? explain(r, c->path, err) : 0;
}

int conn_open_again(struct conn *c)
{
	int r;

	hang_up(c);
	r = connect_to(c->path, &c->fd, &c->peer_uid);
	c->is_open = r == 0;
	return r;
}

void conn_fini(struct conn *c)
{
	hang_up(c);
	buf_fini(&c->in);
	free(c->path);
	*c = (struct conn){ 0 };
}

/* ---- send ---- */

int conn_send_text(struct conn *c, const char *text, size_t len)
{
	if (!c->is_open)
		return -ECONNRESET;
	while (len > 0) {
		ssize_t n = send(c->fd, text, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

int conn_send(struct conn *c, const char *method, const json_t *params, int64_t *ret_id)
{
	struct buf b = { 0 };
	int r;

	message_add_request(&b, ++c->last_id, method, params);
	buf_addc(&b, '\n');
	r = conn_send_text(c, b.data, b.len);
	buf_fini(&b);
	*ret_id = c->last_id;
	return r;
}

/* ---- receive ---- */

/* 0 when there is something to read. */
static int wait_readable(struct conn *c, int64_t until_us)
{
	struct pollfd fds[] = { { .fd = c->fd, .events = POLLIN },
				{ .fd = interrupt_fd(), .events = POLLIN } };
	int timeout_ms = -1;
	int n;

	if (until_us >= 0) {
		int64_t left_us = until_us - mono_now_us();
		int64_t left_ms = left_us <= 0 ? 0 : (left_us + 999) / 1000;

		timeout_ms = left_ms > 1000000 ? 1000000 : (int)left_ms;
	}
	n = poll(fds, 2, timeout_ms);
	if (n < 0 && errno != EINTR)
		return -errno;
	if (fds[1].fd >= 0 && interrupt_take())
		return -EINTR;
	if (n > 0 && fds[0].revents != 0)
		return 0;
	return until_us >= 0 && mono_now_us() >= until_us ? -ETIMEDOUT : -EAGAIN;
}

static int fill(struct conn *c, int64_t until_us)
{
	ssize_t n;
	int r;

	if (until_us >= 0 || interrupt_fd() >= 0) {
		r = wait_readable(c, until_us);
		if (r < 0)
			return r;
	}
	buf_reserve(&c->in, READ_BYTES);
	n = read(c->fd, c->in.data + c->in.len, READ_BYTES);
	if (n < 0)
		return errno == EINTR ? -EAGAIN : -ECONNRESET;
	if (n == 0)
		return -ECONNRESET;
	c->in.len += (size_t)n;
	return 0;
}

/* The length of the line at the front of c->in, its newline not counted. */
static int next_line(struct conn *c, int64_t until_us, size_t *ret_len)
{
	buf_consume(&c->in, c->n_taken);
	c->n_taken = 0;
	for (;;) {
		const char *nl = c->in.len > c->n_scanned ? memchr(c->in.data + c->n_scanned, '\n',
								   c->in.len - c->n_scanned)
							  : NULL;
		int r;

		if (nl != NULL) {
			*ret_len = (size_t)(nl - c->in.data);
			c->n_taken = *ret_len + 1;
			c->n_scanned = 0;
			return 0;
		}
		c->n_scanned = c->in.len;
		if (c->in.len > REPLY_MAX_BYTES)
			return -EBADMSG;
		r = fill(c, until_us);
		if (r < 0 && r != -EAGAIN)
			return r;
	}
}

/*
 * The text of the result as it came: --json prints exactly that, and numbers
 * would not survive being parsed and printed again.  The daemon writes its
 * envelope in one form; should it not, printing the value has to do.
 */
static void keep_text(struct reply *r, const char *line, size_t len)
{
	struct buf b = { 0 };
	char prefix[80];
	size_t n =
		(size_t)snprintf(prefix, sizeof(prefix),
				 "{\"jsonrpc\":\"2.0\",\"id\":%lld,\"result\":", (long long)r->id);

	if (len > n + 1 && strncmp(line, prefix, n) == 0 && line[len - 1] == '}')
		buf_add(&b, line + n, len - n - 1);
	else
		buf_add_json(&b, r->result);
	r->text = buf_steal(&b, &r->text_len);
}

static int take_apart(const char *line, size_t len, struct reply *ret)
{
	json_error_t where;
	json_t *id;

	/* The daemon's own words: NUL is allowed, what it sends may hold a worker's output. */
	ret->value = quick_parse(line, len);
	if (!ret->value)
		ret->value = json_loadb(line, len, JSON_ALLOW_NUL, &where);
	id = json_object_get(ret->value, "id");
	ret->id = json_integer_value(id);
	ret->result = json_object_get(ret->value, "result");
	ret->error = json_object_get(ret->value, "error");
	ret->method = json_string_value(json_object_get(ret->value, "method"));
	ret->params = json_object_get(ret->value, "params");
	if (ret->result == NULL && !json_is_object(ret->error) && ret->method == NULL)
		return -EBADMSG;
	if (ret->result != NULL)
		keep_text(ret, line, len);
	return 0;
}

int conn_receive(struct conn *c, int64_t until_us, struct reply *ret)
{
	size_t len;
	int r;

	if (!c->is_open)
		return -ECONNRESET;
	r = next_line(c, until_us, &len);
	if (r < 0)
		return r;
	r = take_apart(c->in.data, len, ret);
	if (r < 0)
		reply_fini(ret);
	return r;
}

bool conn_has_message(const struct conn *c)
{
	return c->in.len > c->n_taken &&
	       memchr(c->in.data + c->n_taken, '\n', c->in.len - c->n_taken) != NULL;
}
