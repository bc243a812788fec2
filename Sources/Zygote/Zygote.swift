// Zygote
