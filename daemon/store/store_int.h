/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_STORE_STORE_INT_H
#define DAEMON_STORE_STORE_INT_H

#include "daemon/store/schema.h"
#include "daemon/store/sql.h"
#include "daemon/store/store.h"
#include "daemon/store/tally.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

/* The inside of the store, for this folder and its tests. */

#define STORE_FILE "awaitd.db"
#define STORE_FILE_NEW "awaitd.db.new" /* a database under construction */

/* Requests, linked through op->task.next, which the loop does not need before they are posted. */
struct op_list {
	struct store_op *first, *last;
};
void op_list_add(struct op_list *list, struct store_op *op);
void op_list_append(struct op_list *list, struct op_list *more); /* empties @more */
struct store_op *op_list_pop(struct op_list *list);		 /* NULL = empty */

static inline bool op_is_write(enum store_op_type type)
{
	return type < STORE_PRUNE; /* where they end in the enum */
}

#define DB_PAGE_BYTES 4096
#define WAL_FRAME_BYTES (DB_PAGE_BYTES + 24)

/* What room.c knows of the space on the disk.  Sizes are those that hold on this file system. */
struct room {
	int64_t reserve_bytes;		  /* what is kept in reserve; 0 = nothing */
	int64_t min_free_bytes;		  /* with less no new jobs are taken */
	int64_t wal_bytes, wal_max_bytes; /* laid out in advance; what it may keep after use */
	bool has_reserve;
	bool is_low;
	struct mono look_at; /* the next look */
};

struct store {
	struct store_options options; /* state_dir is store->dir */
	char *dir, *path;	      /* own; real paths */
	int lock_fd;		      /* the directory, locked */

	/* the loop's */
	struct op_list outbox; /* submitted in this turn */
	unsigned n_outbox;
	bool is_with_next; /* of the last write in it */
	/*
	 * The loop runs.  Before that store_each_live() uses the connection on the
	 * loop's thread, so nothing is handed over, however much is submitted.
	 */
	bool is_started;
	struct loop_task flush_task;
	int64_t *groups; /* unfinished compositions at the start */
	size_t n_groups, size_groups;
	size_t n_unanswered;
	struct loop_task fatal_task;
	bool is_fatal_told;
	struct loop_task room_task;

	/* shared, under the lock */
	pthread_mutex_t lock;
	pthread_cond_t wake;   /* signalled when the thread sleeps */
	struct op_list inbox;  /* what the thread has not taken yet */
	atomic_bool is_asleep; /* the thread waits for it; may be looked at without the lock */
	bool is_stopping;
	struct store_stats figures; /* all but what store_stats() finds out itself */
	int fatal_status;	    /* 0 = all is well */
	char fatal_message[512];
	bool is_room_posted; /* room_task is on its way */
	bool is_backup_held; /* the next slice waits for what was copied to be written */

	/* the thread's, after store_open() has started it */
	pthread_t thread;
	sqlite3 *db;
	sqlite3_stmt *sql[N_SQL];
	int64_t boot_n;		       /* this boot's number, 0 = the boot has no id */
	bool is_boot_known;	       /* its row is in the file */
	bool is_marked;		       /* the file says that it is in use */
	struct tally committed, tally; /* the second as the open transaction will leave it */
	struct op_list todo;	       /* taken, not looked at yet */
	struct op_list reads;  /* queries that may run: all writes before them are committed */
	struct op_list kept;   /* changes that found the disk full */
	struct op_list chores; /* prunes and sweeps: when there is nothing else to do */
	struct mono chores_since;
	struct doomed *doomed;	     /* trees that are removed in steps (remove.h) */
	struct store_backup *backup; /* being made; NULL = none */
	struct room room;
	bool is_full;			     /* commits find no room */
	struct mono retry_at;		     /* while the disk is full */
	int wal_frames;			     /* since the last checkpoint */
	bool is_log_long;		     /* it has grown beyond what was laid out */
	bool was_short_wait, has_processors; /* more than one; see may_spin() */
	bool has_worked; /* the connection is the thread's now, not store_each_live()'s */
};

static inline sqlite3_stmt *store_sql(const struct store *s, enum sql_id id)
{
	return s->sql[id];
}

void store_log(const struct store *s, int priority, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* store_open() with another schema than ours, for tests of migrations. */
int store_open_schema(const struct store_options *options, const struct schema *schema,
		      struct store **ret, struct aw_err *err);

/* connect.c: from a path to a connection that may be used.  Fill s->db; 0 or exit status. */
int connect_open(struct store *s, const struct schema *schema, struct aw_err *err);
/* The same for a look that changes nothing: *ret_version is the file's. */
int connect_to_check(const char *path, sqlite3 **ret, int64_t *ret_version, struct aw_err *err);
/* Say why an SQLite call failed on the way; the exit status. */
int connect_fail(sqlite3 *db, const char *path, int rc, struct aw_err *err);

/* Under the lock, which it gives up: the thread is to look for work. */
void store_wake(struct store *s);

/* thread.c */
void *thread_main(void *store);

/* room.c: before the database is opened, when it is ready (an SQLite code); then the thread's */
void room_measure(struct store *s);
int room_open(struct store *s);
/* Is there too little for new jobs?  Looks now and then; a commit must not be under way. */
bool room_is_low(struct store *s);
/* A commit found the disk full.  true: now there is some room for another try. */
bool room_give_reserve(struct store *s);
void room_set_full(struct store *s, bool is_full);
/*
 * The reserve is used up but for what the log may need to get into the
 * database.  Without that the log could not begin anew, and nothing, not even
 * a removal, could be stored any more.
 */
bool room_is_tight(const struct store *s);
/* Full, and nothing waits to be stored: is it worth a try? */
bool room_may_probe(const struct store *s);

/*
 * backup.c, on the store's thread between transactions.  true: @b is over, its
 * result is set (and s->backup is NULL); false: backup_slice() goes on with it.
 */
bool backup_begin(struct store *s, struct store_backup *b);
bool backup_slice(struct store *s);
void backup_cancel(struct store *s); /* -ECANCELED */

/*
 * One request each, inside a transaction for those that write.  They return
 * an SQLite code: not 0 ends the transaction, and with it all of the group.
 * What the request itself comes to is op->result.  They may be run a second
 * time after a rollback.
 */
int insert_run(struct store *s, struct store_insert *in);
int change_run(struct store *s, struct store_change *c);
int change_note(struct store *s, struct store_note *note);
int update_run(struct store *s, struct store_update *u);
int update_ask(struct store *s, struct store_ask *ask);
int change_queue(struct store *s, struct store_queue *q);
int remove_run(struct store *s, struct store_remove *rm);
int prune_run(struct store *s, struct store_prune *p);
int prune_sweep(struct store *s, struct store_sweep *sweep);
/* @budget: rows that may be looked at; less what was used. */
int query_run(struct store *s, struct store_op *op, int *budget);
int list_run(struct store *s, struct store_list *l, int *budget);
int scope_run(struct store *s, struct store_scope *scope, int *budget);
int events_run(struct store *s, struct store_events *e, int *budget);

/*
 * Is this job, of composition @parent (0 = none), on its way out (remove.h)?
 * It is as if it were not there.
 */
bool doom_hides(const struct store *s, int64_t id, int64_t parent);

/* One row of history; @prev_seq is the job's event before it, 0 = none. */
struct event {
	int64_t seq, job, attempt, prev_seq;
	struct wall at;
	enum job_state state;
	enum job_outcome outcome;
};
int change_add_event(struct store *s, const struct event *e);
/* The reason to stop that a job has from now on. */
int change_set_stop(struct store *s, int64_t id, enum stop_why why, uid_t by_uid,
		    const char *message);

/* What the end of a composition comes to, from the ends of its parts. */
struct ending {
	enum job_outcome outcome;
	const char *result_json, *error_json; /* borrowed, or */
	char *own_result, *own_error;	      /* owned */
};
bool compose_has_errors(enum store_compose compose);
/* ret is filled with the change's own, which stands unless the parts say otherwise. */
int compose_run(struct store *s, const struct store_change *c, struct ending *ret);
bool query_is(enum store_op_type type);

#endif
