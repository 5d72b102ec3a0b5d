/* SPDX-License-Identifier: MIT */
#ifndef CLIENT_BULK_H
#define CLIENT_BULK_H

#include "client/verb.h"

/*
 * Submit many documents from @path ("-" = standard input): one document, an
 * array of them, or one per line.  They are packed into requests of up to
 * 500, several of which are under way at once; each is taken all or none.
 * Ids are printed in the order of the input, as they are acknowledged.  The
 * first error ends it.  Returns the exit status.
 */
int bulk_submit(struct client *client, const char *path);

#endif
