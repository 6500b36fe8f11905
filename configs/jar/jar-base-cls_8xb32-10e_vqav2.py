# JAR-base on VQA v2 with a classifier over the answers that occur at least nine times.
# No published score. Not trained here.
_base_ = './jar-base_8xb32-10e_vqav2.py'

model = dict(
    share_embeddings=False,
    head=dict(
        _delete_=True,
        type='mmvlfusion.AnswerClassificationHead',
        in_channels=768,
        answers='data/coco/annotations/vqav2_answers.json',
    ),
)
