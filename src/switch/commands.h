/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_SWITCH_COMMANDS_H
#define AOIDE_SWITCH_COMMANDS_H

/* Answers cmd.switch.* on the bus (docs/messages.md). Handlers run in the call thread. */
struct bus;
struct commands;
struct engine;
struct loader;

#define COMMANDS_MAX_ITEMS 1000 /* of one list answer; more by offset */

int commands_start(struct commands **ret, struct bus *bus, struct engine *engine,
		   struct loader *loader);
void commands_stop(struct commands *commands); /* after the bus has closed */

#endif
