/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "client/bulk.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/jobargs.h"
#include "client/needs.h"
#include "client/out.h"
#include "proto/limits.h"
#include "proto/message.h"
#include "proto/xalloc.h"

/*
 * So many bytes cannot hold more values than a request may have
 * (PROTO_VALUES_MAX: two bytes each at least).
 */
enum {
	HEAD_BYTES = 128,
	BATCH_BYTES = 192 * 1024,
	BATCH_DOCUMENTS = 500,
	WINDOW = 6,
	READ_BYTES = 256 * 1024
};

/* Some documents in one request. */
struct batch {
	int64_t id;
	struct buf line; /* the whole request, once it is sent */
	size_t n;
	int64_t places[BATCH_DOCUMENTS]; /* of each: its line, or its place in the array */
	bool is_answered;
	struct reply reply;
};

struct bulk {
	struct client *client;
	const char *place_name; /* "line" or "document": what places counts */
	int fd;
	bool is_at_end;
	struct buf in;
	size_t n_used; /* bytes of in that are done with */
	int64_t n_lines;
	/* A ring: first ... first + n_sent - 1 are under way, the next is being filled. */
	struct batch window[WINDOW];
	size_t first, n_sent;
	int64_t n_documents; /* that have been put into requests */
	int64_t *ids;	     /* owns; of the first n_ids of them */
	size_t n_ids, ids_size;
	int64_t until_us; /* how long a lost connection is worth trying for; 0 = it is not lost */
	int status;
};

static struct batch *batch_at(struct bulk *k, size_t i)
{
	return &k->window[(k->first + i) % WINDOW];
}

static bool is_ok(const struct bulk *k)
{
	return k->status == STATUS_OK;
}

/* ---- errors ---- */

/* The daemon refused a request: which of its documents was it? */
static void fail_by_daemon(struct bulk *k, const struct batch *b, const json_t *error)
{
	const char *path =
		json_string_value(json_object_get(json_object_get(error, "data"), "path"));
	unsigned long long index;
	char where[80];

	if (path != NULL && sscanf(path, "/jobs/%llu", &index) == 1 && index < b->n)
		snprintf(where, sizeof(where), "%s %lld", k->place_name,
			 (long long)b->places[index]);
	else if (b->n == 1)
		snprintf(where, sizeof(where), "%s %lld", k->place_name, (long long)b->places[0]);
	else
		snprintf(where, sizeof(where), "%ss %lld to %lld", k->place_name,
			 (long long)b->places[0], (long long)b->places[b->n - 1]);
	k->status = out_refused(error, where);
	if (b->n > 1)
		out_note("nothing of %ss %lld to %lld, which went in one request, was submitted",
			 k->place_name, (long long)b->places[0], (long long)b->places[b->n - 1]);
}

/*
 * Requests behind the one that failed were under way already; their ids may not
 * stand among the others.
 */
static void tell_accepted(const struct bulk *k, const struct batch *b, const json_t *ids)
{
	size_t n = json_array_size(ids);

	if (n > 0)
		out_note("%ss %lld to %lld were under way already and are submitted, as jobs %lld "
			 "to %lld",
			 k->place_name, (long long)b->places[0], (long long)b->places[b->n - 1],
			 (long long)json_integer_value(json_array_get(ids, 0)),
			 (long long)json_integer_value(json_array_get(ids, n - 1)));
}

/* ---- requests ---- */

static int send_all_again(struct bulk *k)
{
	int r = 0;

	for (size_t i = 0; i < k->n_sent && r == 0; i++) {
		const struct batch *b = batch_at(k, i);

		if (!b->is_answered)
			r = conn_send_text(&k->client->conn, b->line.data, b->line.len);
	}
	return r;
}

/*
 * The connection is lost.  What was under way may have been committed or not;
 * each document has a key, so sending it again gives the same job (R2.6).
 */
static void go_on_after_loss(struct bulk *k, int r)
{
	do
		k->status = client_reconnect(k->client, r, &k->until_us);
	while (is_ok(k) && (r = send_all_again(k)) < 0);
}

static void keep_ids(struct bulk *k, json_t *ids)
{
	json_t *id;
	size_t i;

	if (k->n_ids + json_array_size(ids) > k->ids_size) {
		k->ids_size = 2 * k->ids_size + BATCH_DOCUMENTS;
		k->ids = xreallocarray(k->ids, k->ids_size, sizeof(*k->ids));
	}
	json_array_foreach(ids, i, id)
		k->ids[k->n_ids++] = json_integer_value(id);
}

static void print_ids(struct bulk *k, const struct reply *reply)
{
	json_t *ids = json_object_get(reply->result, "ids");
	struct buf b = { 0 };
	json_t *id;
	size_t i;

	if (json_array_size(ids) <= BATCH_DOCUMENTS)
		keep_ids(k, ids);
	if (k->client->is_json) {
		out_line(reply->text, reply->text_len);
	} else {
		json_array_foreach(ids, i, id) {
			buf_addi(&b, json_integer_value(id));
			buf_addc(&b, '\n');
		}
		out_buf(&b);
		buf_fini(&b);
	}
	out_flush();
}

static void settle_first(struct bulk *k)
{
	struct batch *b = batch_at(k, 0);
	const struct reply *reply = &b->reply;

	if (reply->error != NULL && is_ok(k))
		fail_by_daemon(k, b, reply->error);
	else if (reply->error == NULL && is_ok(k))
		print_ids(k, reply);
	else if (reply->error == NULL)
		tell_accepted(k, b, json_object_get(reply->result, "ids"));
	reply_fini(&b->reply);
	b->is_answered = false;
	b->line.len = 0;
	b->n = 0;
	k->first = (k->first + 1) % WINDOW;
	k->n_sent--;
}

/* A refusal may overtake the answer to an earlier request, which waits for the disk. */
static void keep_reply(struct bulk *k, struct reply *reply)
{
	for (size_t i = 0; i < k->n_sent; i++) {
		struct batch *b = batch_at(k, i);

		/*
		 * An error without id is about a line that could not be read: the oldest, as far
		 * as we know.
		 */
		if (!b->is_answered &&
		    (b->id == reply->id || (reply->id == 0 && reply->error != NULL))) {
			b->reply = *reply;
			b->is_answered = true;
			return;
		}
	}
	reply_fini(reply);
}

static void give_up(struct bulk *k)
{
	for (size_t i = 0; i < k->n_sent; i++)
		reply_fini(&batch_at(k, i)->reply);
	k->n_sent = 0;
}

/* Wait for one more answer; settle what can be settled in order. */
static void take_reply(struct bulk *k)
{
	struct reply reply = { 0 };
	bool had_error = !is_ok(k);
	int r = conn_receive(&k->client->conn, -1, &reply);

	if (r == 0) {
		k->until_us = 0;
		keep_reply(k, &reply);
	} else if (had_error) {
		/* Already leaving: what became of the rest is not worth another 30 s. */
		give_up(k);
	} else {
		go_on_after_loss(k, r);
		if (!is_ok(k))
			give_up(k);
	}
	while (k->n_sent > 0 && batch_at(k, 0)->is_answered)
		settle_first(k);
}

/* Begin the line of the request that is being filled. */
static void begin_batch(struct bulk *k, struct batch *b)
{
	b->id = ++k->client->conn.last_id;
	buf_addf(&b->line,
		 "{\"jsonrpc\":\"2.0\",\"id\":%lld,"
		 "\"method\":\"job.submit_many\",\"params\":{\"jobs\":[",
		 (long long)b->id);
}

static void flush_batch(struct bulk *k)
{
	struct batch *b = batch_at(k, k->n_sent);
	int r;

	if (b->n == 0)
		return;
	buf_adds(&b->line, "]}}\n");
	k->n_sent++;
	r = conn_send_text(&k->client->conn, b->line.data, b->line.len);
	if (r < 0)
		go_on_after_loss(k, r);
	/* One place stays free, to be filled. */
	while (k->n_sent > WINDOW - 1)
		take_reply(k);
}

/*
 * A document that cannot even be sent.  Those before it go first, so that their
 * ids are all printed.
 */
static void fail_at(struct bulk *k, int64_t place, const char *why)
{
	flush_batch(k);
	while (k->n_sent > 0)
		take_reply(k);
	if (is_ok(k))
		k->status = out_fail(STATUS_REFUSED, "params", "%s %lld: %s", k->place_name,
				     (long long)place, why);
}

/* ---- documents ---- */

/* Is there room for @len more bytes in the request that is being filled?  Else it goes. */
static void make_room(struct bulk *k, size_t len)
{
	const struct batch *b = batch_at(k, k->n_sent);

	if (b->n > 0 && (b->n == BATCH_DOCUMENTS || b->line.len + len > BATCH_BYTES))
		flush_batch(k);
}

/*
 * Put one document, @text of an object, into the request; with our @key (NULL =
 * it has one) in front.
 */
static void add_text(struct bulk *k, const char *text, size_t len, const char *key, int64_t place)
{
	size_t room = PROTO_LINE_MAX_BYTES - sizeof("]}}\n") - JOB_KEY_BYTES -
		      sizeof(",\"key\":\"\",") - HEAD_BYTES;
	struct batch *b = batch_at(k, k->n_sent);

	if (len > room) {
		fail_at(k, place, "the document is too long for a request (1 MiB)");
		return;
	}
	if (b->n == 0)
		begin_batch(k, b);
	if (b->n > 0)
		buf_addc(&b->line, ',');
	if (key != NULL) {
		buf_addf(&b->line, "{\"key\":\"%s\",", key);
		text++;
		len--;
	}
	buf_add(&b->line, text, len);
	b->places[b->n++] = place;
	k->n_documents++;
}

/*
 * Needs that name documents of the file, in words that the daemon knows: ids
 * of those that went before, else places in the same request.  How a file is
 * cut into requests depends on the moment, and a document with a key of its own must be
 * the same each time: that has ids only.  NULL after an error.
 */
static json_t *translate_needs(struct bulk *k, const json_t *doc, size_t len, int64_t place)
{
	int64_t max;
	size_t n = needs_count_places(doc, &max);

	if (max >= k->n_documents) {
		fail_at(k, place,
			"\"@N\" in \"needs\" must name an earlier document of the file, counted "
			"from 0");
		return NULL;
	}
	if (json_object_get(doc, "key") != NULL)
		flush_batch(k);
	else
		make_room(k, len + n * sizeof("9223372036854775807"));
	/* What is not in this request has been sent. */
	while (is_ok(k) && k->n_sent > 0 && (int64_t)k->n_ids <= max &&
	       (int64_t)k->n_ids < k->n_documents - (int64_t)batch_at(k, k->n_sent)->n)
		take_reply(k);
	if (!is_ok(k))
		return NULL;
	return needs_translated(doc, k->n_documents - (int64_t)batch_at(k, k->n_sent)->n, k->ids,
				k->n_ids);
}

/*
 * Add @doc, whose text is @text if it has no newline in it, else NULL.  The
 * text is sent as it was written: printing it again would cost more than all
 * the rest.
 */
static void add_document(struct bulk *k, const json_t *doc, const char *text, size_t len,
			 int64_t place)
{
	bool needs_key = json_object_get(doc, "key") == NULL && json_object_size(doc) > 0;
	char key[JOB_KEY_BYTES];
	struct buf b = { 0 };
	json_t *other = NULL;
	int64_t max;

	if (!json_is_object(doc)) {
		fail_at(k, place, "a job document is expected, an object");
		return;
	}
	if (needs_key)
		job_key_make(key);
	if (text == NULL) {
		buf_add_json(&b, doc);
		text = b.data;
		len = b.len;
	}
	if (needs_count_places(doc, &max) > 0) {
		other = translate_needs(k, doc, len, place);
		b.len = 0;
		buf_add_json(&b, other);
		text = b.data;
		len = b.len;
	} else {
		make_room(k, len);
	}
	if (is_ok(k))
		add_text(k, text, len, needs_key ? key : NULL, place);
	json_decref(other);
	buf_fini(&b);
}

static json_t *parse(const char *text, size_t len, json_error_t *where)
{
	return json_loadb(text, len, JSON_REJECT_DUPLICATES, where);
}

static void fail_parse(struct bulk *k, int64_t line, const json_error_t *where)
{
	char why[256];

	snprintf(why, sizeof(why), "column %d: %s", where->column, where->text);
	fail_at(k, line, why);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* One line, if it holds anything. */
static void add_line(struct bulk *k, const char *line, size_t len, int64_t number)
{
	json_error_t where;
	json_t *doc;

	while (len > 0 && is_blank(line[len - 1]))
		len--;
	while (len > 0 && is_blank(*line)) {
		line++;
		len--;
	}
	if (len == 0)
		return;
	doc = parse(line, len, &where);
	if (doc == NULL)
		fail_parse(k, number, &where);
	else
		add_document(k, doc, line, len, number);
	json_decref(doc);
}

/* ---- input ---- */

/*
 * Somebody may be waiting for ids while we wait for documents: send what there
 * is before the input makes us wait.
 */
static void before_reading(struct bulk *k)
{
	struct pollfd fds[] = { { .fd = k->fd, .events = POLLIN }, { .events = POLLIN } };

	if (poll(fds, 1, 0) > 0)
		return;
	flush_batch(k);
	while (is_ok(k) && k->n_sent > 0) {
		fds[1].fd = k->client->conn.fd;
		if (!conn_has_message(&k->client->conn) && poll(fds, 2, -1) > 0 &&
		    fds[0].revents != 0)
			return;
		take_reply(k);
	}
}

/* More bytes into k->in; false at the end or after an error. */
static bool read_more(struct bulk *k)
{
	ssize_t n;

	if (k->is_at_end)
		return false;
	buf_consume(&k->in, k->n_used);
	k->n_used = 0;
	if (k->client->conn.is_open)
		before_reading(k);
	if (!is_ok(k))
		return false;
	buf_reserve(&k->in, READ_BYTES);
	do
		n = read(k->fd, k->in.data + k->in.len, READ_BYTES);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		k->status = out_fail(STATUS_USAGE, "io", "the documents cannot be read: %s",
				     strerror(errno));
	if (n <= 0)
		k->is_at_end = true;
	else
		k->in.len += (size_t)n;
	return n > 0;
}

/* The next line; the last one may end without a newline.  False at the end. */
static bool next_line(struct bulk *k, const char **ret_line, size_t *ret_len)
{
	size_t scanned = k->n_used;
	const char *nl;

	for (;;) {
		nl = k->in.len > scanned ? memchr(k->in.data + scanned, '\n', k->in.len - scanned)
					 : NULL;
		if (nl != NULL || k->is_at_end)
			break;
		scanned = k->in.len - k->n_used;
		if (k->in.len - k->n_used > PROTO_LINE_MAX_BYTES) {
			fail_at(k, k->n_lines + 1,
				"the document is too long for a request (1 MiB)");
			return false;
		}
		read_more(k);
		if (!is_ok(k))
			return false;
	}
	*ret_line = k->in.data + k->n_used;
	*ret_len = (nl != NULL ? (size_t)(nl - k->in.data) : k->in.len) - k->n_used;
	k->n_used += *ret_len + (nl != NULL);
	k->n_lines++;
	return *ret_len > 0 || nl != NULL;
}

static void submit_lines(struct bulk *k)
{
	const char *line;
	size_t len;

	while (is_ok(k) && next_line(k, &line, &len))
		add_line(k, line, len, k->n_lines);
}

static void submit_array(struct bulk *k, const json_t *array)
{
	json_t *doc;
	size_t i;

	k->place_name = "document";
	json_array_foreach(array, i, doc) {
		if (is_ok(k))
			add_document(k, doc, NULL, 0, (int64_t)i + 1);
	}
}

/* An array, or one document over several lines: all of it is read first. */
static void submit_whole(struct bulk *k)
{
	json_error_t where;
	json_t *value;

	while (read_more(k))
		;
	if (!is_ok(k))
		return;
	value = parse(k->in.data, k->in.len, &where);
	if (value == NULL)
		fail_parse(k, where.line, &where);
	else if (json_is_array(value))
		submit_array(k, value);
	else
		add_document(k, value, NULL, 0, 1);
	json_decref(value);
}

/*
 * Is the first thing in the input a whole document on a line of its own?  Looks
 * without taking anything.
 */
static bool is_by_line(struct bulk *k)
{
	const char *nl = NULL;
	json_error_t where;
	size_t start = 0;
	json_t *doc;

	do {
		while (start < k->in.len && is_blank(k->in.data[start]))
			start++;
		if (start < k->in.len)
			nl = memchr(k->in.data + start, '\n', k->in.len - start);
	} while (nl == NULL && k->in.len < start + PROTO_LINE_MAX_BYTES && read_more(k));
	if (start == k->in.len)
		return true;
	if (k->in.data[start] == '[')
		return false;
	doc = parse(k->in.data + start,
		    (nl != NULL ? (size_t)(nl - k->in.data) : k->in.len) - start, &where);
	json_decref(doc);
	return doc != NULL;
}

static void submit_all(struct bulk *k)
{
	bool by_line = is_by_line(k);

	if (is_ok(k) && by_line)
		submit_lines(k);
	else if (is_ok(k))
		submit_whole(k);
	if (is_ok(k))
		flush_batch(k);
	while (k->n_sent > 0)
		take_reply(k);
}

int bulk_submit(struct client *client, const char *path)
{
	struct bulk k = { .client = client, .place_name = "line" };
	int status;

	k.fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	if (k.fd < 0)
		return out_fail(STATUS_USAGE, "usage", "submit: %s: %s", path, strerror(errno));
	status = client_connect(client);
	if (status == STATUS_OK) {
		submit_all(&k);
		status = k.status;
	}
	for (size_t i = 0; i < WINDOW; i++)
		buf_fini(&k.window[i].line);
	buf_fini(&k.in);
	free(k.ids);
	if (k.fd != STDIN_FILENO)
		close(k.fd);
	return status;
}
