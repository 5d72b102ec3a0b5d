/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "client/verb.h"

#include <string.h>

const struct verb *const verbs[] = {
	&submit_verb, &run_verb,      &list_verb,   &show_verb,	    &wait_verb,	 &watch_verb,
	&top_verb,    &timeline_verb, &why_verb,    &cancel_verb,   &hold_verb,	 &release_verb,
	&update_verb, &retry_verb,    &remove_verb, &output_verb,   &queue_verb, &info_verb,
	&stats_verb,  &backup_verb,   &reload_verb, &shutdown_verb, &call_verb,	 NULL,
};

const struct verb *verb_find(const char *name)
{
	for (const struct verb *const *v = verbs; *v != NULL; v++) {
		if (strcmp((*v)->name, name) == 0)
			return *v;
	}
	return NULL;
}
