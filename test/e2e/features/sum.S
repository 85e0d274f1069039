// The C preprocessor runs over it.
#define NAME features_add
        .text
        .globl NAME
        .type NAME, @function
NAME:
        lea (%rdi,%rsi), %eax
        ret
        .size NAME, .-NAME
        .section .note.GNU-stack,"",@progbits
