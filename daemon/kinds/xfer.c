/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/kinds/xfer.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>

#include "daemon/co/coro.h"
#include "daemon/conf.h"
#include "daemon/kinds/deny.h"
#include "daemon/kinds/xferrange.h"
#include "daemon/kinds/xferurl.h"
#include "daemon/kinds/xferwhy.h"

#define BUFFER_BYTES (64 * 1024L)
#define HEAD_MAX_BYTES (256 * 1024)
#define LOCATION_MAX_BYTES (8 * 1024)

static char *address_text(const struct sockaddr *address)
{
	char text[INET6_ADDRSTRLEN] = "?";

	if (address->sa_family == AF_INET)
		inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, text,
			  sizeof(text));
	else if (address->sa_family == AF_INET6)
		inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)address)->sin6_addr, text,
			  sizeof(text));
	return xstrdup(text);
}

/* ---- URLs ---- */

int xfer_check_url(const char *url, struct aw_err *err)
{
	cleanup_free char *host = NULL;
	CURLUcode code;
	bool is_http;
	CURLU *u;

	if (xferurl_is_plain(url))
		return 0;
	u = xferurl_parse(url, &code);
	host = u ? xferurl_part(u, CURLUPART_HOST, 0) : NULL;
	is_http = u && (xferurl_has_scheme(u, "http") || xferurl_has_scheme(u, "https"));
	curl_url_cleanup(u);
	if (!u)
		return aw_fail_at(err, AW_PARAMS, "/url", "is not a usable URL: %s%s",
				  curl_url_strerror(code),
				  strchr(url, ' ') ? "; write a space as %20" : "");
	if (!is_http)
		return aw_fail_at(err, AW_PARAMS, "/url", "must begin with http:// or https://");
	if (!*host)
		return aw_fail_at(err, AW_PARAMS, "/url", "names no host");
	return 0;
}

/* ---- a hop: what libcurl tells while it runs ---- */

static void touch(struct xfer *x)
{
	x->active_at = now_mono();
}

static bool is_redirect_status(long status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* The empty line after a head.  0, or negative to end the hop here. */
static int head_done(struct xfer *x)
{
	const char *type = NULL;
	curl_off_t length = -1;

	curl_easy_getinfo(x->item.easy, CURLINFO_RESPONSE_CODE, &x->status);
	if (x->status < 200)
		return 0;
	x->is_head_done = true;
	/*
	 * What does not fit what is there is no answer to the job's request: it is made
	 * again, for the whole.
	 */
	x->is_rest = x->asks_rest && x->status == 206 &&
		     xferrange_is_rest(x->item.easy, &x->rest, &x->rest_end_bytes);
	x->is_refused = x->asks_rest && !x->is_rest && (x->status == 206 || x->status == 416);
	if (x->is_refused)
		return -EINVAL;
	if (is_redirect_status(x->status) && x->location && x->max_redirects > 0 &&
	    !x->wants_status(x, x->status)) {
		x->is_redirect = true; /* its body is of no interest */
		return -EINVAL;
	}
	curl_easy_getinfo(x->item.easy, CURLINFO_CONTENT_TYPE, &type);
	curl_easy_getinfo(x->item.easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	free(x->content_type);
	x->content_type = type ? xferurl_clean_text(type) : NULL;
	x->content_length = length;
	free(x->validator);
	x->validator = x->wants_validator ? xferrange_validator(x->item.easy) : NULL;
	if (x->on_head(x) < 0)
		return -EINVAL;
	/* Whoever waits for the hop has to look, or to wait for another moment. */
	if (x->is_held || x->look_at.ns != MONO_NEVER.ns)
		signal_flag_raise(&x->flag);
	return 0;
}

static void take_location(struct xfer *x, const char *line, size_t len)
{
	size_t at = strlen("location:");

	while (at < len && (line[at] == ' ' || line[at] == '\t'))
		at++;
	while (len > at && strchr(" \t\r\n", line[len - 1]))
		len--;
	free(x->location);
	x->location = len - at <= LOCATION_MAX_BYTES ? xstrndup(line + at, len - at) : xstrdup("");
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	struct xfer *x = arg;
	size_t len = size * n;
	bool is_empty = len <= 2 && (line[0] == '\r' || line[0] == '\n');

	touch(x);
	x->head_bytes += (int64_t)len;
	if (x->head_bytes > HEAD_MAX_BYTES) {
		aw_fail(&x->err, AW_NETWORK, "%.200s answers with more than %d KiB of headers",
			x->effective_url, HEAD_MAX_BYTES / 1024);
		return 0;
	}
	if (x->is_head_done) /* trailers */
		return len;
	if (is_empty)
		return head_done(x) < 0 ? 0 : len;
	if (len >= 5 && memcmp(line, "HTTP/", 5) == 0) {
		free(x->location);
		x->location = NULL;
	} else if (len >= 9 && strncasecmp(line, "location:", 9) == 0) {
		take_location(x, line, len);
	}
	return len;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct xfer *x = arg;
	size_t len = size * n;

	touch(x);
	if (x->is_held) {
		x->is_waiting = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	if (!xferpool_take(&x->item, len))
		return CURL_WRITEFUNC_PAUSE;
	/* Any other number than @len ends the transfer. */
	return x->on_data(x, data, len) < 0 ? len + 1 : len;
}

/*
 * The address of a proxy is the configuration's choice, and what is behind it the proxy's
 * affair.
 */
static bool is_denied(struct xfer *x, const struct sockaddr *address)
{
	x->is_denied_by_setting = false;
	if (deny_address(address))
		return true;
	x->is_denied_by_setting =
		(!x->proxy || !*x->proxy) &&
		deny_local(address, conf->allow_networks.list, conf->allow_networks.n);
	return x->is_denied_by_setting;
}

static curl_socket_t on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct xfer *x = arg;

	(void)purpose;
	lookup_end(&x->lookup);
	if (is_denied(x, &address->addr)) {
		free(x->denied);
		x->denied = address_text(&address->addr);
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
		      address->protocol);
}

static bool is_denied_text(struct xfer *x, const char *ip)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	bool is_v4 = inet_pton(AF_INET, ip, &in.sin_addr) == 1;

	if ((!is_v4 && inet_pton(AF_INET6, ip, &in6.sin6_addr) != 1) ||
	    !is_denied(x, is_v4 ? (const struct sockaddr *)&in : (const struct sockaddr *)&in6))
		return false;
	free(x->denied);
	x->denied = xstrdup(ip);
	return true;
}

static int on_connected(void *arg, char *ip, char *local_ip, int port, int local_port)
{
	struct xfer *x = arg;

	(void)local_ip;
	(void)port;
	(void)local_port;
	lookup_end(&x->lookup);
	/* A connection that is used again may be from before a reload. */
	if (is_denied_text(x, ip))
		return CURL_PREREQFUNC_ABORT;
	x->is_connected = true;
	touch(x);
	return CURL_PREREQFUNC_OK;
}

/* ---- a hop: options ---- */

/* setopt fails for lack of memory only, or when this libcurl is not the one we were built for. */
#define SET(option, value)                                                         \
	do {                                                                       \
		if (curl_easy_setopt(x->item.easy, (option), (value)) != CURLE_OK) \
			xalloc_die();                                              \
	} while (0)

static void set_policy(struct xfer *x)
{
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_QUICK_EXIT, 1L);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_REDIR_PROTOCOLS_STR,
	    xferurl_has_scheme(x->first, "https") ? "https" : "http,https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_MAXREDIRS, 0L);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(CURLOPT_PROXY, x->proxy ? x->proxy : "");
	SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	SET(CURLOPT_USERAGENT, "awaitd/" PACKAGE_VERSION);
	SET(CURLOPT_BUFFERSIZE, BUFFER_BYTES);
	SET(CURLOPT_NOPROGRESS, 1L);
}

/* libcurl's default is to verify both the chain and the name. */
static void set_trust(struct xfer *x)
{
	if (x->is_insecure) {
		SET(CURLOPT_SSL_VERIFYPEER, 0L);
		SET(CURLOPT_SSL_VERIFYHOST, 0L);
	} else if (x->ca_file && *x->ca_file) {
		SET(CURLOPT_CAINFO, x->ca_file);
		SET(CURLOPT_CAPATH, NULL);
	}
}

static void set_callbacks(struct xfer *x)
{
	SET(CURLOPT_ERRORBUFFER, x->why);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, x);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, x);
	SET(CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	SET(CURLOPT_OPENSOCKETDATA, x);
	SET(CURLOPT_PREREQFUNCTION, on_connected);
	SET(CURLOPT_PREREQDATA, x);
}

/* The method of this hop: a redirect may have turned it into a GET. */
static const char *hop_method(const struct xfer *x)
{
	return x->drops_body ? "GET" : x->method;
}

static void add_header(struct xfer *x, const char *line)
{
	struct curl_slist *list = curl_slist_append(x->list, line);

	if (!list)
		xalloc_die();
	x->list = list;
}

static void add_rest(struct xfer *x)
{
	cleanup_free char *range = xasprintf("Range: bytes=%" PRId64 "-", x->rest.from_bytes);
	cleanup_free char *condition = xasprintf("If-Range: %s", x->rest.validator);

	add_header(x, range);
	add_header(x, condition);
}

static void set_headers(struct xfer *x)
{
	const char *name;
	json_t *value;

	/* libcurl would call any body a form; what it is only the job knows. */
	add_header(x, "Content-Type:");
	add_header(x, "Expect:");
	json_object_foreach((json_t *)x->headers, name, value) {
		const char *text = json_string_value(value);
		cleanup_free char *line = NULL;

		if (!text)
			continue;
		/* "Name:" would remove a header; this is how libcurl writes an empty one. */
		line = *text ? xasprintf("%s: %s", name, text) : xasprintf("%s;", name);
		add_header(x, line);
	}
	if (x->asks_rest)
		add_rest(x);
	SET(CURLOPT_HTTPHEADER, x->list);
}

static void set_request(struct xfer *x)
{
	const char *method = hop_method(x);
	bool has_body = x->body && !x->drops_body;
	bool wants_body = strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
			  strcmp(method, "PATCH") == 0;

	set_headers(x);
	if (has_body || wants_body) {
		SET(CURLOPT_POST, 1L);
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)(has_body ? x->body_len : 0));
		SET(CURLOPT_POSTFIELDS, has_body ? x->body : "");
	}
	if (strcmp(method, "HEAD") == 0)
		SET(CURLOPT_NOBODY, 1L);
	else
		SET(CURLOPT_CUSTOMREQUEST, method);
}

/*
 * A connection that was used once may be used again by a GET or HEAD of the
 * daemon's own user that carries nothing private: no headers, no credentials,
 * no body, no proxy, and that takes no unverified server.  Everything else
 * gets a fresh one that is closed afterwards:
 *  - libcurl's matching of connections to requests has leaked identities
 *    between them more than once (CVE-2026-5545 and others), so owners and
 *    credentials never meet on one connection;
 *  - on a reused connection that turns out to be dead libcurl sends the
 *    request again by itself, which a POST with at-most-once semantics must
 *    not suffer.
 * Measured on loopback, 5,000 files of 1 KB: 68 us of CPU each with reuse,
 * 93 without; over a network it saves one or more round trips each.
 */
static bool may_share_connection(const struct xfer *x)
{
	const char *method = hop_method(x);

	return x->may_reuse && !x->is_insecure &&
	       (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0) &&
	       json_object_size(x->headers) == 0 && !x->user && (!x->body || x->drops_body) &&
	       (!x->proxy || !*x->proxy);
}

static void set_peer(struct xfer *x)
{
	cleanup_free char *url = xferurl_part(x->hop, CURLUPART_URL, 0);
	int64_t connect_ms = (x->connect_timeout_us + 999) / 1000;

	SET(CURLOPT_URL, url);
	if (x->user && xferurl_same_origin(x->first, x->hop)) {
		SET(CURLOPT_USERNAME, x->user);
		SET(CURLOPT_PASSWORD, x->password);
	}
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)(connect_ms > INT_MAX ? INT_MAX : connect_ms));
	if (!may_share_connection(x)) {
		SET(CURLOPT_FRESH_CONNECT, 1L);
		SET(CURLOPT_FORBID_REUSE, 1L);
	}
}

/* ---- a hop: begin and end, on the loop's stack ---- */

static void on_done(struct xferpool_item *item, int code)
{
	struct xfer *x = container_of(item, struct xfer, item);

	x->code = code;
	x->is_done = true;
	signal_flag_raise(&x->flag);
}

static void hop_begin(void *arg)
{
	struct xfer *x = arg;

	x->is_done = x->is_connected = x->is_head_done = x->is_redirect = false;
	x->is_rest = x->is_refused = x->is_held = x->is_waiting = false;
	/* Another address may have another thing under the same tag or date. */
	x->asks_rest = x->rest.url && strcmp(x->rest.url, x->effective_url) == 0;
	x->head_bytes = 0;
	x->uploaded_bytes = 0;
	x->why[0] = '\0';
	touch(x);
	x->item.done = on_done;
	x->item.easy = curl_easy_init();
	if (!x->item.easy)
		xalloc_die();
	set_policy(x);
	set_trust(x);
	set_callbacks(x);
	set_request(x);
	set_peer(x);
	xferpool_add(&x->item);
}

static void hop_end(void *arg)
{
	struct xfer *x = arg;
	long os_errno = 0;

	curl_easy_getinfo(x->item.easy, CURLINFO_OS_ERRNO, &os_errno);
	x->os_errno = (int)os_errno;
	if (!x->is_done || x->code == CURLE_OPERATION_TIMEDOUT)
		lookup_abandon(&x->lookup);
	lookup_end(&x->lookup);
	xferpool_remove(&x->item);
	curl_slist_free_all(x->list);
	x->list = NULL;
}

/* ---- a hop, seen from the coroutine ---- */

/* Does this hop begin with a look-up?  (localhost and numbers do not.) */
static bool needs_lookup(const struct xfer *x)
{
	cleanup_free char *host = xferurl_part(x->hop, CURLUPART_HOST, 0);
	struct in_addr v4;

	if (x->proxy && *x->proxy)
		return true;
	return host[0] != '[' && inet_pton(AF_INET, host, &v4) != 1 &&
	       strcasecmp(host, "localhost") != 0;
}

/* Has nothing moved for too long?  While connecting, libcurl's own timeout counts. */
static bool is_idle(struct xfer *x)
{
	curl_off_t uploaded = 0;

	curl_easy_getinfo(x->item.easy, CURLINFO_SIZE_UPLOAD_T, &uploaded);
	if (!x->is_connected || uploaded != x->uploaded_bytes) {
		x->uploaded_bytes = uploaded;
		touch(x);
	}
	return now_mono().ns >= mono_add_us(x->active_at, x->idle_timeout_us).ns;
}

static void let_go(void *arg)
{
	struct xfer *x = arg;

	x->is_held = false;
	touch(x);
	if (x->is_waiting && !x->is_done)
		xferpool_wake(&x->item);
	x->is_waiting = false;
}

static int co_look(struct xfer *x, struct aw_err *err)
{
	int r = x->co_look(x, err);

	if (r == 0 && x->is_held)
		co_on_loop_stack(let_go, x);
	return r;
}

static struct mono next_look(const struct xfer *x)
{
	struct mono idle_at = mono_add_us(x->active_at, x->idle_timeout_us);

	return x->look_at.ns < idle_at.ns ? x->look_at : idle_at;
}

/*
 * Until libcurl is done with the hop.  0, -ECANCELED, -ETIMEDOUT when it was
 * idle, or what co_look() returned, with @err.
 */
static int co_hop_wait(struct xfer *x, struct aw_err *err)
{
	for (;;) {
		int looked = 0, r = co_signal_wait(&x->flag, next_look(x));

		if (r == -ECANCELED)
			return r;
		if (x->is_held || (!x->is_done && now_mono().ns >= x->look_at.ns))
			looked = co_look(x, err);
		if (looked < 0)
			return looked;
		if (x->is_done)
			return 0;
		if (r < 0 && is_idle(x))
			return -ETIMEDOUT;
	}
}

/* 0 = the answer is complete, 1 = another hop is to follow, else the error. */
static int co_hop(struct xfer *x, struct aw_err *err)
{
	int r;

	if (needs_lookup(x)) {
		r = co_lookup_begin(&x->lookup, &x->flag, mono_in_us(x->connect_timeout_us));
		if (r == -ETIMEDOUT)
			return aw_fail(err, AW_TIMEOUT,
				       "%d name look-ups are under way and none ended within %g s "
				       "(connect_timeout): check this machine's name servers",
				       LOOKUPS_MAX, (double)x->connect_timeout_us / 1e6);
		if (r < 0)
			return r;
	}
	co_on_loop_stack(hop_begin, x);
	r = co_hop_wait(x, err);
	co_on_loop_stack(hop_end, x);
	if (r == -ETIMEDOUT)
		return aw_fail(err, AW_TIMEOUT, "no data from %.200s for %g s (idle_timeout)",
			       x->effective_url, (double)x->idle_timeout_us / 1e6);
	if (r < 0)
		return r;
	if (x->err.code) {
		aw_err_fini(err);
		*err = x->err;
		x->err = (struct aw_err){ .code = AW_OK };
		return -EINVAL;
	}
	if (x->is_redirect || x->is_refused)
		return 1;
	return x->code == CURLE_OK ? 0 : xferwhy_explain(x, err);
}

/* ---- redirects ---- */

static int refuse_redirect(const struct xfer *x, CURLU *target, const char *why, struct aw_err *err)
{
	cleanup_free char *shown =
		target ? xferurl_shown(target, false) : xferurl_clean_text(x->location);

	aw_fail(err, AW_HTTP, "%.140s redirects (%ld) to %.140s, %s", x->effective_url, x->status,
		shown, why);
	aw_err_fact(err, "status", json_integer(x->status));
	return -EINVAL;
}

/* May the job go on to @target?  NULL, or why not. */
static const char *redirect_objection(const struct xfer *x, CURLU *target, bool keeps_body)
{
	if (!target)
		return "which is not a usable URL";
	if (!xferurl_has_scheme(target, "http") && !xferurl_has_scheme(target, "https"))
		return "which is neither http nor https";
	if (xferurl_has_scheme(x->first, "https") && !xferurl_has_scheme(target, "https"))
		return "from https to http: refused, since anybody could read and change it";
	if (x->n_redirects >= x->max_redirects)
		return "one redirect more than the job allows: give the final address, or raise "
		       "\"redirects\"";
	if (xferurl_same_origin(x->first, target))
		return NULL;
	if (json_object_size(x->headers) > 0 || keeps_body)
		return "another origin: a fetch with headers or a body of its own does not follow "
		       "there; give that address in the job";
	return NULL;
}

/* What every browser does, whatever the standard once said. */
static bool turns_into_get(const struct xfer *x)
{
	const char *method = hop_method(x);

	if (x->status == 303)
		return strcmp(method, "HEAD") != 0;
	return x->status <= 302 && strcmp(method, "POST") == 0;
}

struct follow {
	struct xfer *x;
	struct aw_err *err;
	int result;
};

static void follow(void *arg)
{
	struct follow *f = arg;
	struct xfer *x = f->x;
	CURLU *target = xferurl_resolve(x->hop, x->location);
	cleanup_free char *user = NULL, *password = NULL;
	bool drops_body = x->drops_body || turns_into_get(x);
	const char *objection;

	if (target)
		xferurl_take_userinfo(target, &user, &password);
	objection = redirect_objection(x, target, x->body && !drops_body);
	if (objection) {
		f->result = refuse_redirect(x, target, objection, f->err);
		curl_url_cleanup(target);
		return;
	}
	x->n_redirects++;
	x->drops_body = drops_body;
	curl_url_cleanup(x->hop);
	x->hop = target;
	free(x->effective_url);
	x->effective_url = xferurl_shown(target, x->user && xferurl_same_origin(x->first, target));
	free(x->location);
	x->location = NULL;
	f->result = 0;
}

/* ---- the whole ---- */

int xfer_init(void)
{
	return xferpool_init();
}

void xfer_fini(void)
{
	lookup_fini();
	xferpool_fini();
}

uint64_t xfer_received_bytes(void)
{
	return xferpool_received_bytes();
}

static void parse_first(void *arg)
{
	struct follow *f = arg;
	struct xfer *x = f->x;
	CURLUcode code;

	x->first = xferurl_parse(x->url, &code);
	if (!x->first) {
		f->result = xfer_check_url(x->url, f->err);
		return;
	}
	xferurl_take_userinfo(x->first, &x->user, &x->password);
	x->hop = xferurl_dup(x->first);
	x->effective_url = xferurl_shown(x->first, x->user);
	x->content_length = -1;
	f->result = 0;
}

int co_xfer_run(struct xfer *x, struct aw_err *err)
{
	struct follow f = { .x = x, .err = err };
	int r;

	co_on_loop_stack(parse_first, &f);
	if (f.result < 0)
		return f.result;
	while ((r = co_hop(x, err)) == 1) {
		if (x->is_refused) {
			x->rest.url = NULL;
			continue;
		}
		co_on_loop_stack(follow, &f);
		if (f.result < 0)
			return f.result;
	}
	return r;
}

void xfer_clear(struct xfer *x)
{
	assert(!x->item.easy);
	curl_url_cleanup(x->first);
	curl_url_cleanup(x->hop);
	x->first = x->hop = NULL;
	free(x->effective_url);
	free(x->content_type);
	free(x->validator);
	free(x->user);
	free(x->password);
	free(x->location);
	free(x->denied);
	x->effective_url = x->content_type = x->validator = x->user = x->password = x->location =
		x->denied = NULL;
	aw_err_fini(&x->err);
}
