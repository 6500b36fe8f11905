# Iterative co-tokenization at the width and depth of JAR-base, VQA v2.
# No published score on VQA v2. In the schedule of the ablations, the paper has GQA 78.5
# and SNLI-VE 77.5 (Table 2). Not trained here.
_base_ = './jar-base_8xb32-10e_vqav2.py'

model = dict(
    fusion=dict(
        _delete_=True,
        type='mmvlfusion.CoTokenizationFusion',
        embed_dims=768,
        image_channels=2048,
        num_heads=12,
        num_layers=32,
        num_iterations=4,
        num_latents=64,
        drop_rate=0.1,
    )
)
