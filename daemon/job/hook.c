/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/hook.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/co/await.h"
#include "daemon/conf.h"
#include "daemon/job/engine_int.h"
#include "daemon/job/users.h"
#include "daemon/log.h"
#include "proto/limits.h"
#include "proto/units.h"
#include "proto/xalloc.h"

#define QUEUE "hook"
#define KEY_PREFIX "hook:"
#define PAGE_EVENTS 100
#define PAGE_BYTES (1024 * 1024)
/* After the disk was full. */
#define AGAIN_US 10000000
/* Parts' errors that a job object keeps when all of them are too much for a standard input. */
#define ERRORS_KEPT 10

static struct {
	bool is_on;
	bool is_busy;	/* a page or a submission is under way */
	bool is_woken;	/* something has ended since the page was asked for */
	bool is_stale;	/* the page is from before the hook was switched off and on */
	int64_t cursor; /* all up to this number is done */
	struct store_events page;
	size_t next; /* of page.events */
	struct jobdoc doc;
	struct submission submission;
	struct loop_timer again;
	/* the place, on its way to its file */
	struct offload save;
	int64_t saved, to_save;
	bool is_saving;
	int save_error;
} hook;

static void go_on(void);

/* ---- the place ---- */

static char *file_path(const char *suffix)
{
	return xasprintf("%s/hook.seq%s", conf->state_dir, suffix);
}

static int write_place(int64_t seq, const char *part, const char *path)
{
	FILE *f = fopen(part, "we");
	int error = 0;

	if (!f)
		return errno;
	if (fprintf(f, "%" PRId64 "\n", seq) < 0 || fflush(f) != 0 || fdatasync(fileno(f)) < 0)
		error = errno;
	if (fclose(f) != 0 && !error)
		error = errno;
	if (!error && rename(part, path) < 0)
		error = errno;
	return error;
}

static void save_work(struct offload *o)
{
	cleanup_free char *path = file_path(""), *part = file_path(".part");

	(void)o;
	hook.save_error = write_place(hook.to_save, part, path);
}

static void save_place(void);

static void forget_place(void)
{
	cleanup_free char *path = file_path("");

	(void)unlink(path);
}

static void save_done(struct offload *o)
{
	(void)o;
	engine_landed();
	hook.is_saving = false;
	if (!hook.is_on) { /* switched off meanwhile */
		forget_place();
		return;
	}
	/* An older place only makes us look again at what is done. */
	if (hook.save_error)
		log_warning("the hook's place cannot be written: %s", strerror(hook.save_error));
	hook.saved = hook.to_save;
	if (hook.saved != hook.cursor)
		save_place();
}

static void save_place(void)
{
	if (hook.is_saving || hook.saved == hook.cursor)
		return;
	hook.is_saving = true;
	hook.to_save = hook.cursor;
	hook.save.work = save_work;
	hook.save.done = save_done;
	engine.n_in_flight++;
	offload_submit(&hook.save);
}

/* One small file.  What is no number is as if it were not there. */
static bool load_place(void)
{
	cleanup_free char *path = file_path("");
	FILE *f = fopen(path, "re");
	int64_t seq = -1;

	if (!f)
		return false;
	if (fscanf(f, "%" SCNd64, &seq) != 1)
		seq = -1;
	fclose(f);
	hook.cursor = hook.saved = seq;
	return seq >= 0;
}

/*
 * The hook was just switched on: what has ended before has none.  Blocks for
 * one small file, since what ends from now on must have one, whatever comes.
 */
static void begin_here(void)
{
	struct store_stats stats;

	store_stats(engine.store, &stats);
	hook.cursor = stats.last_seq;
	if (hook.is_saving) /* what is being written is older, and followed by this */
		return;
	hook.to_save = hook.cursor;
	save_work(&hook.save);
	hook.saved = hook.cursor;
	if (hook.save_error)
		log_warning("the hook's place cannot be written: %s", strerror(hook.save_error));
}

/* ---- the job ---- */

/* What lists may hold without bound. */
static void shorten(json_t *object)
{
	json_t *errors = json_object_get(json_object_get(object, "error"), "errors");
	json_t *children = json_object_get(object, "children");
	json_t *truncated = json_object_get(object, "truncated");

	if (json_array_size(errors) > ERRORS_KEPT) {
		while (json_array_size(errors) > ERRORS_KEPT)
			json_array_remove(errors, json_array_size(errors) - 1);
		json_array_append_new(truncated, json_string("error"));
	}
	if (json_array_size(children)) {
		json_array_clear(children);
		json_array_append_new(truncated, json_string("children"));
	}
}

/* JSON has two ways to write "$", and only one of them begins a reference to a result. */
static void add_without_references(struct buf *b, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '$' && i + 1 < len && text[i + 1] == '{')
			buf_adds(b, "\\u0024");
		else
			buf_addc(b, text[i]);
	}
}

/* @rec as in lists: nobody's secrets. */
static void print_input(struct buf *b, const struct store_job *rec)
{
	const struct viewer nobody = { .uid = STORE_ANY_UID };
	struct buf printed = { 0 };

	engine_print_job(&printed, rec, nobody, false);
	buf_addc(&printed, '\n');
	add_without_references(b, printed.data, printed.len);
	if (b->len > JOB_STRING_MAX_BYTES) {
		json_t *object = json_loadb(printed.data, printed.len, 0, NULL);

		shorten(object);
		printed.len = b->len = 0;
		buf_add_json(&printed, object);
		buf_addc(&printed, '\n');
		add_without_references(b, printed.data, printed.len);
		json_decref(object);
	}
	buf_fini(&printed);
}

static json_t *document_of(const struct store_event *e)
{
	struct buf input = { 0 };
	json_t *doc;

	print_input(&input, &e->job);
	doc = json_pack("{s:s, s:[s, o, s], s:s, s:s#, s:o, s:s, s:[s], s:s, s:o, s:s}", "kind",
			"worker", "argv", conf->hook_program, json_sprintf("%" PRId64, e->job.id),
			job_outcome_name(e->outcome), "cwd", "/", "stdin", input.data, input.len,
			"key", json_sprintf(KEY_PREFIX "%" PRId64, e->job.id), "name", "hook",
			"tags", "hook", "queue", QUEUE, "timeout",
			duration_to_json(conf->hook_timeout_us), "on_lost", "retry");
	buf_fini(&input);
	if (!doc)
		xalloc_die();
	return doc;
}

static void end_submission(void)
{
	submission_fini(&hook.submission);
	jobdoc_fini(&hook.doc);
	hook.doc = (struct jobdoc){ 0 };
}

static void on_again(struct loop_timer *timer)
{
	(void)timer;
	go_on();
}

static void on_submitted(struct submission *s)
{
	enum aw_code code = s->result < 0 ? s->err.code : AW_OK;
	int64_t id = hook.page.events[hook.next].job.id;

	/* AW_CONFLICT: it is there, from before the daemon died; an object may tell more now. */
	if (code != AW_OK && code != AW_STORAGE_FULL && code != AW_SHUTTING_DOWN &&
	    code != AW_CONFLICT)
		log_error("the hook of job %" PRId64 " cannot be run: %s", id, s->err.message);
	end_submission();
	hook.is_busy = false;
	if (code == AW_STORAGE_FULL) {
		hook.again.fn = on_again;
		loop_timer_set(&hook.again, mono_in_us(AGAIN_US));
	} else if (code != AW_SHUTTING_DOWN) { /* then the next start goes on from here */
		hook.next++;
		go_on();
	}
}

/* The owner's name is known now. */
static void submit(void *arg)
{
	const struct store_event *e = arg;
	json_t *doc = document_of(e);
	struct aw_err err = { 0 };

	hook.submission = (struct submission){
		.docs = &hook.doc,
		.n = 1,
		.uid = geteuid(),
		.gid = getegid(),
		.is_ours = true,
		.done = on_submitted,
	};
	if (jobdoc_check(doc, "", 0, &hook.doc, &err) == 0) {
		engine_submit(&hook.submission, false);
	} else {
		log_error("the hook of job %" PRId64 " cannot be run: %s", e->job.id, err.message);
		end_submission();
		hook.is_busy = false;
		hook.next++;
		go_on();
	}
	aw_err_fini(&err);
	json_decref(doc);
}

/* ---- what has ended ---- */

static bool is_hook(const struct store_job *rec)
{
	json_t *spec = rec->spec ? json_loads(rec->spec, 0, NULL) : NULL;
	const char *key = json_string_value(json_object_get(spec, "key"));
	bool is = rec->uid == geteuid() && key && strncmp(key, KEY_PREFIX, strlen(KEY_PREFIX)) == 0;

	json_decref(spec);
	return is;
}

static bool is_wanted(const struct store_event *e)
{
	return e->state == JOB_DONE && conf->hook_outcomes & 1u << e->outcome &&
	       e->job.parent == 0 && !is_hook(&e->job);
}

static void on_page(struct store_op *op)
{
	engine_landed();
	hook.is_busy = false;
	if (op->result < 0) {
		log_error("the hook cannot read what has happened: %s", strerror(-op->result));
		return;
	}
	/* The store is another one than the place was of. */
	if (!hook.is_stale && hook.page.next < hook.cursor) {
		hook.cursor = hook.page.next;
		save_place();
	}
	go_on();
}

static void ask_for_page(void)
{
	store_events_fini(&hook.page);
	hook.next = 0;
	hook.is_busy = true;
	hook.is_woken = false;
	hook.page = (struct store_events){
		.op = { .type = STORE_EVENTS, .done = on_page },
		.since = hook.cursor,
		.uid = STORE_ANY_UID,
		.limit = PAGE_EVENTS,
		.max_bytes = PAGE_BYTES,
	};
	engine_fly(&hook.page.op);
}

static void drop_page(void)
{
	store_events_fini(&hook.page);
	hook.page.op.done = NULL;
	hook.next = 0;
	hook.is_stale = false;
}

/* The next thing to do: another hook of this page, another page, or wait. */
static void go_on(void)
{
	if (!hook.is_on || hook.is_busy || engine.is_stopping || loop_timer_is_set(&hook.again))
		return;
	if (hook.is_stale)
		drop_page();
	while (hook.next < hook.page.n) {
		struct store_event *e = &hook.page.events[hook.next];

		if (is_wanted(e)) {
			hook.is_busy = true;
			users_look_up(e->job.uid, submit, e);
			return;
		}
		hook.next++;
	}
	if (hook.page.op.done && hook.page.next > hook.cursor) {
		hook.cursor = hook.page.next;
		save_place();
	}
	if (hook.is_woken || !hook.page.op.done || !hook.page.is_at_end)
		ask_for_page();
}

void hook_ended(enum job_outcome outcome)
{
	if (!hook.is_on || !(conf->hook_outcomes & 1u << outcome))
		return;
	hook.is_woken = true;
	go_on();
}

/* ---- on, off ---- */

static void switch_off(void)
{
	/* What ends from now on has no hook, should it be switched on again one day. */
	hook.is_on = false;
	loop_timer_cancel(&hook.again);
	forget_place();
}

void hook_start(void)
{
	bool is_on = conf->hook_program && *conf->hook_program;

	if (!is_on) {
		switch_off();
		return;
	}
	if (hook.is_on)
		return;
	hook.is_on = hook.is_stale = true;
	if (hook.is_saving || !load_place())
		begin_here();
	queues_ensure(QUEUE, conf->hook_limit);
	hook.is_woken = true;
	go_on();
}

void hook_fini(void)
{
	loop_timer_cancel(&hook.again);
	drop_page();
	hook.is_on = false;
}
