"""Static and dynamic assignment: jobs dealt out beforehand, or fetched by whoever has nothing to do.

Eight jobs, of which the last takes as long as six others. (Jobs sleep, so that this is true on a busy machine as
well.)
"""

import time

from minipar import parallel
from minipar.parallel import timeline

SECONDS = [0.1, 0.1, 0.1, 0.1, 0.2, 0.2, 0.2, 0.6]


def job(seconds):
    time.sleep(seconds)
    return seconds


print("schedule                  foretold  measured  jobs of each worker")
with parallel.Pool(workers=2) as pool:
    for order, jobs in ("as they come", SECONDS), ("longest first", sorted(SECONDS, reverse=True)):
        for schedule in ("static", "dynamic"):
            foretold = parallel.simulate_schedule(jobs, workers=2, schedule=schedule)
            with timeline.record() as recording:
                assert parallel.map(job, jobs, schedule=schedule, pool=pool) == jobs
            run = parallel.Assignment.measured(recording, workers=2)
            name = f"{schedule}, {order}"
            print(f"{name:24} {foretold.makespan:7.2f} s {run.makespan:7.2f} s  {run.jobs_of}")
