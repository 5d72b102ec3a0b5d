/* SPDX-License-Identifier: MIT */
#ifndef CLIENT_OPTS_H
#define CLIENT_OPTS_H

#include "proto/buf.h"
#include "proto/err.h"
#include "proto/jobkeys.h"
#include "proto/names.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Options as tables.  A verb's table says where each value goes (an offset
 * into the verb's own struct); the options of submit and run are made from the
 * table of job document keys, so that a new key needs no line here.  Help is
 * printed from the same tables.
 */

enum opt_type {
	OPT_FLAG,     /* bool */
	OPT_TEXT,     /* const char *, borrows from argv */
	OPT_WORDS,    /* json_t *, a list of strings: comma-separated, repeatable */
	OPT_COUNT,    /* int64_t >= 0 */
	OPT_DURATION, /* int64_t, microseconds */
	OPT_KEY,      /* a job document's key; the base is the document */
	OPT_NO_KEY,   /* --no-KEY of a bool */
	OPT_KEY_ITEM, /* --tag, --header: one item of a list or map key */
	OPT_HELP,
	OPT_VERSION,
	N_OPT_TYPES
};

struct opt {
	const char *name; /* without dashes; NULL ends a table */
	char letter;	  /* 0 = none */
	enum opt_type type;
	const char *metavar; /* NULL for what takes no value */
	const char *help;
	size_t offset;		    /* into the set's base; not for OPT_KEY... */
	const struct jobkey *key;   /* OPT_KEY, OPT_NO_KEY, OPT_KEY_ITEM */
	const struct jobkey *whole; /* --retry-max: the key whose member .key is; else NULL */
};

/* The option that is called like the member of @args which takes its value. */
#define OPT_MEMBER(args, member, kind, letters, text)                            \
	{                                                                        \
		.name = #member, .type = kind, .metavar = letters, .help = text, \
		.offset = offsetof(struct args, member)                          \
	}

/* A table and what its values go to. */
struct opt_set {
	const struct opt *opts;
	void *base;
};

enum opts_wish { OPTS_GO_ON, OPTS_HELP, OPTS_VERSION };

#define OPTS_SETS_MAX 6

struct opts {
	struct opt_set sets[OPTS_SETS_MAX]; /* searched in order; .opts NULL = unused */
	bool stops_early;		    /* end at the first argument that is no option */
	/* out */
	enum opts_wish wish; /* --help or --version was met: nothing after it was read */
	int n_args;	     /* what is no option now stands in argv[0 ... n_args - 1] */
};

/*
 * Read the options out of @argv (without the program's name).  "--" ends
 * them.  Names are never abbreviated, so that scripts stay valid when options
 * are added.  0, or -EINVAL with AW_PARAMS (usage) in @err.
 */
int opts_parse(struct opts *o, int argc, char **argv, struct aw_err *err);

/*
 * The options of jobs of @kind, in the order of the table of keys; the caller
 * frees the array.  @is_common chooses the keys that every leaf kind has, else
 * those of this kind alone.
 */
struct opt *opts_of_kind(enum job_kind kind, bool is_common);

/*
 * Set @doc[@key] from text, as its JSON type.  0 or -EINVAL (AW_PARAMS; the
 * message stands behind the option's name).
 */
int opts_set_key(json_t *doc, const struct jobkey *key, const char *text, struct aw_err *err);

/* Append one help line for each option of the table, wrapped at 80 columns. */
void opts_help(struct buf *b, const struct opt *opts);
/* Append @text, wrapped at 80 columns behind @indent spaces; its newlines are kept. */
void opts_wrap(struct buf *b, const char *text, size_t indent);

/* A job's id: a positive integer.  0 or -EINVAL with @err. */
int opts_id(const char *text, int64_t *ret_id, struct aw_err *err);
/* All of argv as a list of ids; NULL with @err.  Gives it. */
json_t *opts_ids(int n_args, char **argv, struct aw_err *err);

#endif
