/* SPDX-License-Identifier: MIT */
#ifndef CLIENT_COMPLETE_H
#define CLIENT_COMPLETE_H

#include "client/verb.h"

/*
 * "awaitctl __complete -- WORD...": what the last WORD could be, for the
 * shells' completions, which are thin (packaging/completions).  All of it
 * comes from the tables of commands, options and keys, from the words in
 * their help that stand for values, and, for jobs and queues, from the daemon.
 *
 * Prints a line per candidate, a tab and what it means behind it; or one line
 * that leaves it to the shell: ":file", ":dir" or ":command".  Never an error:
 * nobody wants to read one while typing.
 */
int complete(struct client *client, int argc, char **argv);

#endif
