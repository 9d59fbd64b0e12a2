#!/bin/bash
# Two nodes that train one model: sbatch slurm.sh
#SBATCH --job-name=clicks
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --requeue
# srun tells each task who the others are. A job that is queued again goes on
# after the last whole epoch.
exec srun --kill-on-bad-exit=1 deepfm-tf train --train /shared/clicks.parquet --label clicked \
	--prepared /shared/prep --run /shared/run --export /shared/models/clicks
