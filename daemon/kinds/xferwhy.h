/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_KINDS_XFERWHY_H
#define DAEMON_KINDS_XFERWHY_H

#include "daemon/kinds/xfer.h"

/* Why libcurl could not do what it was to: fill @err from what is known.  Returns -EINVAL. */
int xferwhy_explain(struct xfer *x, struct aw_err *err);

#endif
