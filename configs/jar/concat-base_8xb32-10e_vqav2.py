# Concatenation of text and image in one sequence, at the width and depth of JAR-base,
# VQA v2.
# No published score on VQA v2. In the schedule of the ablations, the paper has GQA 78.9
# and SNLI-VE 77.4 (Table 3). Not trained here.
_base_ = './jar-base_8xb32-10e_vqav2.py'

model = dict(
    fusion=dict(
        _delete_=True,
        type='mmvlfusion.ConcatFusion',
        embed_dims=768,
        image_channels=2048,
        num_heads=12,
        num_layers=32,
        drop_rate=0.1,
    )
)
