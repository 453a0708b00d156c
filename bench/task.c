/* SPDX-License-Identifier: MIT
 *
 * /proc's view of it. See task.h.
 */
#include "bench/task.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool has_name(pid_t task, const char *name)
{
    char path[40], line[40] = "";
    snprintf(path, sizeof(path), "/proc/%d/comm", (int)task);
    FILE *file = fopen(path, "re");
    bool is_read = file && fgets(line, sizeof(line), file);
    if (file)
        fclose(file);
    line[strcspn(line, "\n")] = 0;
    return is_read && strcmp(line, name) == 0;
}

pid_t task_find(pid_t process, const char *name)
{
    char path[40];
    struct dirent *entry;
    pid_t found = 0;
    snprintf(path, sizeof(path), "/proc/%d/task", (int)process);
    DIR *folder = opendir(path);
    while (folder && !found && (entry = readdir(folder))) {
        pid_t task = (pid_t)strtol(entry->d_name, NULL, 10);
        if (task && has_name(task, name))
            found = task;
    }
    if (folder)
        closedir(folder);
    return found;
}

long task_count_preemptions(pid_t task)
{
    char path[40], line[120];
    long count = -1;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)task);
    FILE *file = fopen(path, "re");
    while (file && count < 0 && fgets(line, sizeof(line), file))
        sscanf(line, "nonvoluntary_ctxt_switches: %ld", &count);
    if (file)
        fclose(file);
    return count;
}
