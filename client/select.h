/* SPDX-License-Identifier: MIT */
#ifndef CLIENT_SELECT_H
#define CLIENT_SELECT_H

#include "client/verb.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * For verbs that do something to jobs: those named by id, or all that a
 * filter leaves ("cancel --tag x --state waiting").
 */
struct select {
	json_t *state, *outcome, *kind, *queue, *name, *tag; /* own; NULL = not given */
	bool is_yes;
};

#define SELECT_WORDS(args, member, word, letters, words)                             \
	{                                                                            \
		.name = #word, .type = OPT_WORDS, .metavar = letters, .help = words, \
		.offset = offsetof(args, member) + offsetof(struct select, word)     \
	}
/* For the verb's table of options: those of @member of @args. */
#define SELECT_OPTS(args, member)                                                              \
	SELECT_WORDS(args, member, state, "STATE", "all jobs that are waiting, running, ..."), \
		SELECT_WORDS(args, member, outcome, "OUTCOME", "all that ended so"),           \
		SELECT_WORDS(args, member, kind, "KIND", "all of this kind"),                  \
		SELECT_WORDS(args, member, queue, "QUEUE", "all in this queue"),               \
		SELECT_WORDS(args, member, name, "NAME", "all with this name"),                \
		SELECT_WORDS(args, member, tag, "TAG", "all with this tag"),                   \
	{                                                                                      \
		.name = "yes", .letter = 'y', .type = OPT_FLAG, .help = "do not ask before",   \
		.offset = offsetof(args, member) + offsetof(struct select, is_yes)             \
	}

/* What the verb does with what a filter leaves. */
struct select_use {
	const char *verb;	   /* "cancel", for the question */
	const char *const *states; /* those looked at unless --state says; ends with NULL */
	bool is_top_only;	   /* parts of compositions are left alone */
};

/*
 * The ids that are meant: those in @argv, or those that the filter leaves when
 * there is one, after a question if a person is there.  -1 with *ret (the
 * caller frees it; may be empty), or the status to leave with.
 */
int select_ids(struct client *client, const struct verb *verb, const struct select *s,
	       const struct select_use *use, int n_args, char **argv, json_t **ret);
/* Was there a filter?  Then jobs that have moved on meanwhile are no error. */
bool select_is_filter(const struct select *s);
void select_fini(struct select *s);

/* Of verbs that have no options of their own; the base is a struct select. */
extern const struct opt select_opts[];
/*
 * The whole of such a verb: @method for all that are meant.  @print (NULL =
 * nothing) prints each answer, unless --json does.
 */
int select_run(struct client *client, const struct verb *verb, const char *method,
	       const struct select_use *use, void (*print)(const json_t *result), int argc,
	       char **argv);

#endif
