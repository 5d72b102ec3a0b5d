/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_STORE_REMOVE_H
#define DAEMON_STORE_REMOVE_H

#include "daemon/store/store_int.h"

/*
 * Removing what is done.  All of it runs inside a transaction and gives SQLite
 * codes.
 *
 * A small tree goes at once.  A large one would hold up everybody's commits
 * for a while, so it is doomed first: from then on no query shows it or a part
 * of it, and steps take its rows away, parts before their composition, so that
 * a restart in between finds the rest by its root.
 */

/* A job that goes, as its row says. */
struct victim {
	int64_t id;
	enum job_kind kind;
	enum job_state state;
	enum job_outcome outcome;
	int64_t parent, last_seq, attempt;
	uid_t uid;
	bool has_key;
	int flags; /* enum rows_flag */
};

/* A job and what is below it, parents before their parts. */
struct victims {
	struct victim *list; /* owns */
	size_t n, size;
};
/* n == 0: there is no such job. */
int victims_collect(struct store *s, int64_t id, struct victims *ret);
void victims_fini(struct victims *tree);

/* Result and blocker as in store_remove. */
struct removal {
	int result;
	int64_t blocker;
	size_t n_jobs; /* that went at once */
};
int remove_tree(struct store *s, int64_t id, struct removal *ret);
int remove_victim(struct store *s, const struct victim *v);

/* ---- doom.c ---- */

/* Read again what the file says is doomed: at the start, and after a rollback. */
int doom_load(struct store *s);
void doom_fini(struct store *s);
int doom_add(struct store *s, struct victims *tree); /* takes the list, which is empty then */
/* Take away up to @max of the jobs that are doomed; *ret_n = how many. */
int doom_step(struct store *s, size_t max, size_t *ret_n);

#endif
