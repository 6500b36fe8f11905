# JAR-large on VQA v2 with parameters that are sharded over the processes.
# No published score. Not trained here.
_base_ = ['./jar-large_8xb32-10e_vqav2.py', '../_base_/sharded_runtime.py']
