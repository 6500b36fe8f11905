# JAR with a classifier over the answers that VQA v2 gives nine times or more.
# Not trained here.
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
